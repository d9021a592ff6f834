#!/bin/sh
# systemd's journal alone, without a systemd: journal.sh JOURNALD FOLDER. To be started in a mount namespace of its own,
# where FOLDER becomes /dev and the logs of the machine are not to be seen. What joins it there logs to the journal.
set -e
touch "$2/null"
mount --bind /dev/null "$2/null"
ln -s /run/systemd/journal/dev-log "$2/log"
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/log/journal
mount -t tmpfs tmpfs /var/log
mount --rbind "$2" /dev
exec "$1"
