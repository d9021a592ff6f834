#!/bin/sh
# room.sh FOLDER TREE COMMAND...: a machine as a server wants it, for that server alone. FOLDER/etc and TREE/usr lie
# over /etc and /usr, FOLDER/var is /var, /run is new. Only for a mount namespace of its own.
set -eu
folder=${1:?} tree=${2?}
shift 2
mount --make-rprivate /
[ -z "$tree" ] || mount -t overlay -o "lowerdir=$tree/usr:/usr" overlay /usr
mount -t overlay -o "lowerdir=$folder/etc:/etc" overlay /etc
mount --bind "$folder/var" /var
mount -t tmpfs -o mode=0755 run /run
# A set-id program forgets that it is to end with whoever started it. This shell does not, and everything ends with it.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
"$@" &
wait "$!"
