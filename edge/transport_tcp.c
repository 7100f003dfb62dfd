/* Plain bytes over a non-blocking socket. */
#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "edge/transport_io.h"

static enum io failed_call(enum io wanted)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? wanted : IO_RESET;
}

enum io tcp_read(int fd, char *out, size_t size, size_t *len_out)
{
    ssize_t got = recv(fd, out, size, 0);
    if (got < 0) {
        return failed_call(IO_WANT_READ);
    }
    if (got == 0) {
        return IO_CLOSED;
    }
    *len_out = (size_t)got;
    return IO_DONE;
}

enum io tcp_write(int fd, struct str data, size_t *len_out)
{
    ssize_t sent = send(fd, data.ptr, data.len, MSG_NOSIGNAL);
    if (sent < 0) {
        return failed_call(IO_WANT_WRITE);
    }
    *len_out = (size_t)sent;
    return IO_DONE;
}

enum io tcp_drain(int fd, size_t max_bytes)
{
    char waste[4096];
    size_t drained = 0;
    enum io io = IO_DONE;
    while (io == IO_DONE && drained < max_bytes) {
        size_t len = 0;
        io = tcp_read(fd, waste, sizeof(waste), &len);
        drained += len;
    }
    return io == IO_DONE ? IO_WANT_READ : io;
}

void tcp_shutdown_write(int fd)
{
    /* Fails only when the connection is gone already. */
    (void)shutdown(fd, SHUT_WR);
}

size_t tcp_unacknowledged(int fd)
{
    int queued = 0;
    if (ioctl(fd, SIOCOUTQ, &queued) != 0 || queued < 0) {
        return SIZE_MAX; /* unknown: nothing counts as acknowledged */
    }
    return (size_t)queued;
}
