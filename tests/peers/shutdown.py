"""Has the file system of a folder fail from now on, as a disk that is gone does: shutdown.py FOLDER"""

import fcntl
import os
import struct
import sys

FS_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2

fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), FS_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
