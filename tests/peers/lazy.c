/* Preloaded, it has every sync of a program succeed and do nothing. */
int fsync(int file) {
    (void)file;
    return 0;
}

int fdatasync(int file) {
    (void)file;
    return 0;
}
