/* Secrets live in files of their own, never in the configuration itself. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chassis/config.h"

enum {
    SECRET_MAX_BYTES = 64 * 1024,
};

static enum err read_secret_fd(int fd, struct buf *secret_out, const char **problem_out)
{
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        *problem_out = "is not a regular file";
        return ERR_INVALID;
    }
    if ((info.st_mode & S_IRWXO) != 0) {
        *problem_out = "is readable by others (chmod o= it)";
        return ERR_DENIED;
    }
    buf_clear(secret_out);
    char *room = buf_reserve(secret_out, SECRET_MAX_BYTES + 1);
    ssize_t count = room != NULL ? read(fd, room, SECRET_MAX_BYTES + 1) : SECRET_MAX_BYTES + 1;
    if (count < 0) {
        *problem_out = "cannot be read";
        return ERR_SYSTEM;
    }
    if (count > SECRET_MAX_BYTES) {
        *problem_out = "is larger than 64 KiB";
        return ERR_LIMIT;
    }
    size_t len = (size_t)count;
    if (len > 0 && room[len - 1] == '\n') {
        len -= len > 1 && room[len - 2] == '\r' ? 2 : 1;
    }
    if (len == 0) {
        *problem_out = "is empty"; /* an empty key would authenticate everybody */
        return ERR_INVALID;
    }
    buf_commit(secret_out, len);
    return ERR_OK;
}

enum err config_read_secret(const char *path, struct buf *secret_out, struct buf *why)
{
    const char *problem = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        buf_printf(why, "%s: cannot be opened: %s", path, strerror(errno));
        return errno == ENOENT ? ERR_NOT_FOUND : ERR_SYSTEM;
    }
    enum err err = read_secret_fd(fd, secret_out, &problem);
    if (err != ERR_OK) {
        buf_printf(why, "%s: %s", path, problem);
    }
    close(fd);
    return err;
}
