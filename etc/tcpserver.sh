#!/bin/sh
# A run script for those who use tcpserver: at most 500 sessions, no lookups, the log goes to syslog.
exec tcpserver -H -R -l 0 -c 500 0 25 /usr/local/sbin/smap
