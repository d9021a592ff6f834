#!/bin/sh
# Keeps each message in a file of its own in the folder $1, whole or not at all; at times it cannot.
name=$(date +%s%N).$$
cat > "$1/tmp/$name" || exit 75
case $name in *7) rm "$1/tmp/$name"; exit 75 ;; esac
mv "$1/tmp/$name" "$1/new/$name" || exit 75
exit 0
