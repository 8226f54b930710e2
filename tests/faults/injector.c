/* The injector: counts the calls of the C library that change files or use sockets, and makes one of them fail.

   Load it with LD_PRELOAD. It acts once `faults_arm` was called, or at the start if FAULTS_LOG is set. Only calls on
   paths below FAULTS_PATHS and on sockets to the ports FAULTS_PORTS count (both separated by colons). The call with the
   number FAULTS_AT (from 1) fails as FAULTS_DO says:

     kill        the process kills itself before the call
     kill-after  after the call
     short       the call writes half of its bytes
     ENOSPC      the call fails with this error; so do EIO, EACCES and ECONNRESET
     ENOSPC+     so does every later call that needs room on the disk

   Every call that counts gets a record in the file FAULTS_LOG: a line with the fields number, name, result (or the error
   as a negative number), offset, number of data bytes, path, second path, separated by tabs. With FAULTS_DATA=1 the
   bytes that were written or sent follow the line, and writes to standard output get records with the number 0. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum what { NOTHING, KILL, KILL_AFTER, SHORT, FAIL };

static int armed, log_fd = -1, keeps_data, error_number, lasts;
static char *paths, *ports;
static long at, count;
static enum what what;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name)                                       \
  static __typeof__(&name) real;                         \
  if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* --- arming --- */

static int number_of(const char *name) {
  static const struct { const char *name; int number; } known[] = {
    {"ENOSPC", ENOSPC}, {"EIO", EIO}, {"EACCES", EACCES}, {"ECONNRESET", ECONNRESET}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (!strncmp(name, known[i].name, strlen(known[i].name))) return known[i].number;
  return EIO;
}

void faults_arm(const char *log, const char *below, const char *to, long number, const char *act, int data) {
  int fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  log_fd = fcntl(fd, F_DUPFD_CLOEXEC, 500);  /* far from the numbers that the process uses */
  syscall(SYS_close, fd);
  paths = strdup(below);
  ports = strdup(to);
  at = number;
  keeps_data = data;
  count = 0;
  lasts = act[0] && act[strlen(act) - 1] == '+';
  what = !number ? NOTHING : !strcmp(act, "kill") ? KILL : !strcmp(act, "kill-after") ? KILL_AFTER
       : !strcmp(act, "short") ? SHORT : FAIL;
  error_number = number_of(act);
  armed = 1;
}

__attribute__((constructor)) static void arm_from_environment(void) {
  const char *log = getenv("FAULTS_LOG"), *below = getenv("FAULTS_PATHS"), *to = getenv("FAULTS_PORTS");
  const char *number = getenv("FAULTS_AT"), *act = getenv("FAULTS_DO"), *data = getenv("FAULTS_DATA");
  if (log) faults_arm(log, below ? below : "", to ? to : "", number ? atol(number) : 0, act ? act : "", data != NULL);
}

/* --- which calls count --- */

static int is_below(const char *path) {
  for (const char *start = paths; *start;) {
    const char *end = strchrnul(start, ':');
    size_t length = end - start;
    if (length && !strncmp(path, start, length) && (path[length] == '/' || !path[length])) return 1;
    start = *end ? end + 1 : end;
  }
  return 0;
}

static int is_port(int port) {
  for (const char *start = ports; *start;) {
    if (atoi(start) == port) return 1;
    const char *end = strchrnul(start, ':');
    start = *end ? end + 1 : end;
  }
  return 0;
}

/* Write the absolute path of `path`, seen from the folder `dir`, into `into`; return whether it counts. */
static int counts_path(int dir, const char *path, char *into) {
  if (!armed || !path) return 0;
  int saved = errno, length = 0;
  if (path[0] != '/') {
    if (dir == AT_FDCWD) {
      if (!getcwd(into, PATH_MAX)) into[0] = 0;
      length = strlen(into);
    } else {
      char link[64];
      snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
      length = readlink(link, into, PATH_MAX - 1);
      length = length < 0 ? 0 : length;
    }
    into[length++] = '/';
  }
  snprintf(into + length, PATH_MAX - length, "%s", path);
  errno = saved;
  return is_below(into);
}

enum kind { OTHER, PLAIN_FILE, SOCKET };

/* Write the path of an open file into `into`, or "socket:PORT"; return what it is, OTHER if it does not count. */
static enum kind kind_of(int fd, char *into) {
  if (!armed || fd < 0 || fd == log_fd) return OTHER;
  int saved = errno;
  enum kind kind = OTHER;
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, into, PATH_MAX - 1);
  if (length > 0) {
    into[length] = 0;
    if (into[0] == '/') {
      kind = is_below(into) ? PLAIN_FILE : OTHER;
    } else if (!strncmp(into, "socket:", 7)) {
      struct sockaddr_in peer;
      socklen_t size = sizeof peer;
      if (!getpeername(fd, (struct sockaddr *)&peer, &size) && peer.sin_family == AF_INET && is_port(ntohs(peer.sin_port))) {
        snprintf(into, PATH_MAX, "socket:%d", ntohs(peer.sin_port));
        kind = SOCKET;
      }
    }
  }
  errno = saved;
  return kind;
}

/* --- one call --- */

static void put(const void *bytes, size_t length) {
  while (length) {
    ssize_t done = syscall(SYS_write, log_fd, bytes, length);
    if (done <= 0) return;
    bytes = (const char *)bytes + done;
    length -= done;
  }
}

static void record(long number, const char *name, long result, long offset, const void *data, size_t length,
                   const char *path, const char *second) {
  char line[3 * PATH_MAX];
  if (!keeps_data || !data) length = 0;
  int size = snprintf(line, sizeof line, "%ld\t%s\t%ld\t%ld\t%zu\t%s\t%s\n", number, name, result, offset, length, path, second);
  put(line, size);
  if (length) put(data, length);
}

static int needs_room(const char *name) {
  return strstr(name, "write") || strstr(name, "open") || strstr(name, "mkdir") || strstr(name, "link") || strstr(name, "rename");
}

struct call { long number; enum what what; const char *name, *path, *second; };

/* Count a call; return what shall happen to it. The caller ends the call with `leave`, and holds the mutex until then. */
static struct call enter(const char *name, const char *path, const char *second) {
  pthread_mutex_lock(&mutex);
  struct call call = {++count, NOTHING, name, path, second};
  if (what != NOTHING && (call.number == at || (lasts && call.number > at && needs_room(name)))) call.what = what;
  if (call.what == KILL) {
    record(call.number, name, 0, -1, NULL, 0, path, second);
    kill(getpid(), SIGKILL);
    for (;;) pause();
  }
  return call;
}

static long leave(struct call call, long result, long offset, const void *data) {
  int saved = errno;
  record(call.number, call.name, result < 0 ? -saved : result, offset, data, result > 0 ? result : 0, call.path, call.second);
  if (call.what == KILL_AFTER) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
  }
  pthread_mutex_unlock(&mutex);
  errno = saved;
  return result;
}

/* Do a call: fail it if it shall fail, or else evaluate `expression`. */
#define DO(call, expression) ((call).what == FAIL ? (errno = error_number, -1L) : (long)(expression))
#define SIZE(call, size) ((call).what == SHORT && (size) > 1 ? (size) / 2 : (size))

/* --- writing --- */

static long position(int fd) {
  int saved = errno;
  long found = lseek(fd, 0, fcntl(fd, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR);
  errno = saved;
  return found;
}

ssize_t write(int fd, const void *data, size_t size) {
  REAL(write);
  char path[PATH_MAX];
  if (fd == 1 && armed && keeps_data) {
    pthread_mutex_lock(&mutex);
    record(0, "stdout", size, -1, data, size, "", "");
    pthread_mutex_unlock(&mutex);
  }
  enum kind kind = kind_of(fd, path);
  if (kind == OTHER) return real(fd, data, size);
  struct call call = enter(kind == SOCKET ? "send" : "write", path, "");
  long offset = kind == SOCKET ? -1 : position(fd);
  return leave(call, DO(call, real(fd, data, SIZE(call, size))), offset, data);
}

#define PWRITE(function, type)                                                                  \
  ssize_t function(int fd, const void *data, size_t size, type offset) {                         \
    REAL(function);                                                                              \
    char path[PATH_MAX];                                                                         \
    if (kind_of(fd, path) == OTHER) return real(fd, data, size, offset);                         \
    struct call call = enter("pwrite", path, "");                                                \
    return leave(call, DO(call, real(fd, data, SIZE(call, size), offset)), offset, data);        \
  }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t writev(int fd, const struct iovec *parts, int number) {
  REAL(writev);
  char path[PATH_MAX];
  enum kind kind = kind_of(fd, path);
  if (kind == OTHER) return real(fd, parts, number);
  size_t size = 0;
  for (int i = 0; i < number; i++) size += parts[i].iov_len;
  char *data = malloc(size + 1), *end = data;
  for (int i = 0; i < number; i++) end = mempcpy(end, parts[i].iov_base, parts[i].iov_len);
  struct call call = enter(kind == SOCKET ? "send" : "write", path, "");
  long offset = kind == SOCKET ? -1 : position(fd);
  struct iovec one = {data, SIZE(call, size)};
  ssize_t done = leave(call, DO(call, real(fd, &one, 1)), offset, data);
  free(data);
  return done;
}

#define TRUNCATE(function, type)                                                                 \
  int function(int fd, type size) {                                                              \
    REAL(function);                                                                              \
    char path[PATH_MAX];                                                                         \
    if (kind_of(fd, path) == OTHER) return real(fd, size);                                       \
    struct call call = enter("ftruncate", path, "");                                             \
    return leave(call, DO(call, real(fd, size)), size, NULL);                                    \
  }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

/* Sharing extents is switched off, so that the records hold every byte of every file. */
int ioctl(int fd, unsigned long request, ...) {
  REAL(ioctl);
  va_list rest;
  va_start(rest, request);
  void *argument = va_arg(rest, void *);
  va_end(rest);
  if (armed && request == FICLONE) return errno = EOPNOTSUPP, -1;
  return real(fd, request, argument);
}

/* --- waiting for the disk --- */

#define SYNC(function)                                                                           \
  int function(int fd) {                                                                         \
    REAL(function);                                                                              \
    char path[PATH_MAX];                                                                         \
    if (kind_of(fd, path) == OTHER) return real(fd);                                             \
    struct call call = enter(#function, path, "");                                               \
    return leave(call, DO(call, real(fd)), -1, NULL);                                            \
  }
SYNC(fsync)
SYNC(fdatasync)
SYNC(syncfs)

/* --- names --- */

#define OPEN(function, DIR_PARAMETER, DIR, DIR_ARGUMENT)                                         \
  int function(DIR_PARAMETER const char *path, int flags, ...) {                                 \
    REAL(function);                                                                              \
    char whole[PATH_MAX];                                                                        \
    va_list rest;                                                                                \
    va_start(rest, flags);                                                                       \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                      \
    va_end(rest);                                                                                \
    int writes = (flags & O_ACCMODE) != O_RDONLY || flags & O_CREAT;                             \
    if (!writes || !counts_path(DIR, path, whole)) return real(DIR_ARGUMENT path, flags, mode);  \
    int missing = syscall(SYS_faccessat, AT_FDCWD, whole, F_OK) != 0;                            \
    struct call call = enter(missing ? "create" : flags & O_TRUNC ? "opentrunc" : "open", whole, "");   \
    return leave(call, DO(call, real(DIR_ARGUMENT path, flags, mode)), -1, NULL);                \
  }
#define COMMA ,
OPEN(open, , AT_FDCWD, )
OPEN(open64, , AT_FDCWD, )
OPEN(openat, int dir COMMA, dir, dir COMMA)
OPEN(openat64, int dir COMMA, dir, dir COMMA)

/* A call on one path, or on two paths of which one counts. */
#define ON_PATH(name, dir, path, expression)                                                     \
  char whole[PATH_MAX];                                                                          \
  if (!counts_path(dir, path, whole)) return expression;                                         \
  struct call call = enter(name, whole, "");                                                     \
  return leave(call, DO(call, expression), -1, NULL)

#define ON_PATHS(name, from_dir, from, to_dir, to, expression)                                   \
  char whole[PATH_MAX], second[PATH_MAX];                                                        \
  int counts = counts_path(from_dir, from, whole);                                               \
  if (!counts_path(to_dir, to, second) && !counts) return expression;                            \
  struct call call = enter(name, whole, second);                                                 \
  return leave(call, DO(call, expression), -1, NULL)

int unlink(const char *path) { REAL(unlink); ON_PATH("unlink", AT_FDCWD, path, real(path)); }
int unlinkat(int dir, const char *path, int flags) {
  REAL(unlinkat);
  ON_PATH(flags & AT_REMOVEDIR ? "rmdir" : "unlink", dir, path, real(dir, path, flags));
}
int rmdir(const char *path) { REAL(rmdir); ON_PATH("rmdir", AT_FDCWD, path, real(path)); }
int mkdir(const char *path, mode_t mode) { REAL(mkdir); ON_PATH("mkdir", AT_FDCWD, path, real(path, mode)); }
int mkdirat(int dir, const char *path, mode_t mode) {
  REAL(mkdirat);
  ON_PATH("mkdir", dir, path, real(dir, path, mode));
}
int rename(const char *from, const char *to) {
  REAL(rename);
  ON_PATHS("rename", AT_FDCWD, from, AT_FDCWD, to, real(from, to));
}
int renameat(int from_dir, const char *from, int to_dir, const char *to) {
  REAL(renameat);
  ON_PATHS("rename", from_dir, from, to_dir, to, real(from_dir, from, to_dir, to));
}
int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
  REAL(renameat2);
  ON_PATHS("rename", from_dir, from, to_dir, to, real(from_dir, from, to_dir, to, flags));
}
int link(const char *from, const char *to) {
  REAL(link);
  ON_PATHS("link", AT_FDCWD, from, AT_FDCWD, to, real(from, to));
}
int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
  REAL(linkat);
  ON_PATHS("link", from_dir, from, to_dir, to, real(from_dir, from, to_dir, to, flags));
}

/* --- sockets --- */

ssize_t send(int fd, const void *data, size_t size, int flags) {
  REAL(send);
  char path[PATH_MAX];
  if (kind_of(fd, path) != SOCKET) return real(fd, data, size, flags);
  struct call call = enter("send", path, "");
  return leave(call, DO(call, real(fd, data, SIZE(call, size), flags)), -1, data);
}

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length) {
  REAL(sendto);
  char path[PATH_MAX];
  if (kind_of(fd, path) != SOCKET) return real(fd, data, size, flags, to, length);
  struct call call = enter("send", path, "");
  return leave(call, DO(call, real(fd, data, SIZE(call, size), flags, to, length)), -1, data);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  REAL(sendmsg);
  char path[PATH_MAX];
  if (kind_of(fd, path) != SOCKET) return real(fd, message, flags);
  size_t size = 0;
  for (size_t i = 0; i < message->msg_iovlen; i++) size += message->msg_iov[i].iov_len;
  char *data = malloc(size + 1), *end = data;
  for (size_t i = 0; i < message->msg_iovlen; i++)
    end = mempcpy(end, message->msg_iov[i].iov_base, message->msg_iov[i].iov_len);
  struct call call = enter("send", path, "");
  struct iovec one = {data, SIZE(call, size)};
  struct msghdr other = *message;
  other.msg_iov = &one;
  other.msg_iovlen = 1;
  ssize_t done = leave(call, DO(call, real(fd, &other, flags)), -1, data);
  free(data);
  return done;
}

ssize_t recv(int fd, void *data, size_t size, int flags) {
  REAL(recv);
  char path[PATH_MAX];
  if (kind_of(fd, path) != SOCKET) return real(fd, data, size, flags);
  struct call call = enter("recv", path, "");
  return leave(call, DO(call, real(fd, data, size, flags)), -1, NULL);
}

ssize_t recvfrom(int fd, void *data, size_t size, int flags, struct sockaddr *from, socklen_t *length) {
  REAL(recvfrom);
  char path[PATH_MAX];
  if (kind_of(fd, path) != SOCKET) return real(fd, data, size, flags, from, length);
  struct call call = enter("recv", path, "");
  return leave(call, DO(call, real(fd, data, size, flags, from, length)), -1, NULL);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
  REAL(recvmsg);
  char path[PATH_MAX];
  if (kind_of(fd, path) != SOCKET) return real(fd, message, flags);
  struct call call = enter("recv", path, "");
  return leave(call, DO(call, real(fd, message, flags)), -1, NULL);
}

ssize_t read(int fd, void *data, size_t size) {
  REAL(read);
  char path[PATH_MAX];
  if (kind_of(fd, path) != SOCKET) return real(fd, data, size);
  struct call call = enter("recv", path, "");
  return leave(call, DO(call, real(fd, data, size)), -1, NULL);
}
