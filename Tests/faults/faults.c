// A library for LD_PRELOAD that makes system calls fail, for scripts/faults. Over 500 lines: it is
// compiled from one file.
//
//   FAULT=KIND:N[:on|:every]  the N-th call of a kind fails; "on": and all later ones; "every":
//                          every N-th call
//   FAULT_STATE=FILE       gets the counts of all kinds, and whether and where a call failed
//   FAULT_PROGRAM=PATH     only processes of this program count and fail
//   FAULT_IN=children      only those that the first one starts; without it only the first one
//
// libc's internal calls do not pass through here, so stdio's calls are separate kinds. scripts/faults
// reads the layout of the state: a count of kinds, then `struct kind`s, then `struct report`.

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
  WRITE_FULL, WRITE_ERROR, WRITE_SHORT, READ_ERROR, READ_SHORT, INTERRUPT, SYNC_ERROR, CLOSE_ERROR,
  RENAME_ERROR, LINK_ERROR, OPEN_ERROR, FOLDER_ERROR, CLOCK_BACK, CLOCK_FORWARD, RANDOM, THREAD,
  PROCESS, MEMORY_OWN, MEMORY_SWIFT, MEMORY_VIDEO, MEMORY_X265, MEMORY_MATH, MEMORY_OTHER, KINDS
};

struct kind {
  char name[24];
  _Atomic uint64_t count;
};

enum { most_names = 16 };

struct report {
  _Atomic uint64_t hits;
  char where[256];                // of the first: the call, who made it
  _Atomic uint64_t made;          // temporary files made by mkstemp, and their names
  char names[most_names][128];
};

struct state {
  uint64_t kinds;
  struct kind kind[KINDS];
  struct report report;
};

static const char *const names[KINDS] = {
  "write-full", "write-error", "write-short", "read-error", "read-short", "interrupt",
  "sync-error", "close-error", "rename-error", "link-error", "open-error", "folder-error",
  "clock-back", "clock-forward", "random", "thread", "process", "memory-own", "memory-swift",
  "memory-video", "memory-x265", "memory-math", "memory-other",
};

static struct state own_state;
static struct state *state = &own_state;
static bool active;
static int wanted = -1;
static uint64_t nth;
static bool stays, repeats;

// MARK: Callers

struct range {
  uintptr_t begin, end;
  int owner;
};

enum { most_ranges = 512 };
static struct range ranges[most_ranges];
static _Atomic int range_count;
static pthread_mutex_t range_mutex = PTHREAD_MUTEX_INITIALIZER;

static int owner_of(const char *path) {
  static const struct { const char *part; int owner; } known[] = {
    { "libswift", MEMORY_SWIFT }, { "libav", MEMORY_VIDEO }, { "libsw", MEMORY_VIDEO },
    { "libpostproc", MEMORY_VIDEO }, { "libx264", MEMORY_VIDEO }, { "libx265", MEMORY_X265 },
    { "openblas", MEMORY_MATH },
    { "libfftw", MEMORY_MATH }, { "libz.so", MEMORY_MATH },
  };
  if (!path || !*path) return MEMORY_OWN;  // the program itself
  const char *name = strrchr(path, '/');
  name = name ? name + 1 : path;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strstr(name, known[i].part)) return known[i].owner;
  return MEMORY_OTHER;
}

static int note_object(struct dl_phdr_info *info, size_t size, void *context) {
  (void)size, (void)context;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *part = &info->dlpi_phdr[i];
    if (part->p_type != PT_LOAD || !(part->p_flags & PF_X)) continue;
    uintptr_t begin = info->dlpi_addr + part->p_vaddr;
    int count = range_count;
    bool known = false;
    for (int k = 0; k < count; k++) known |= ranges[k].begin == begin;
    if (known || count == most_ranges) continue;
    ranges[count] = (struct range){ begin, begin + part->p_memsz, owner_of(info->dlpi_name) };
    range_count = count + 1;
  }
  return 0;
}

static int find_owner(uintptr_t at) {
  for (int i = 0; i < range_count; i++)
    if (at >= ranges[i].begin && at < ranges[i].end) return ranges[i].owner;
  return -1;
}

static int caller_owner(void *address) {
  uintptr_t at = (uintptr_t)address;
  int owner = find_owner(at);
  if (owner >= 0) return owner;
  // An object that was loaded later.
  pthread_mutex_lock(&range_mutex);
  dl_iterate_phdr(note_object, NULL);
  pthread_mutex_unlock(&range_mutex);
  owner = find_owner(at);
  return owner >= 0 ? owner : MEMORY_OTHER;
}

// MARK: The decision to fail

static __thread bool busy;  // what this library calls itself neither counts nor fails

static void report_hit(const char *call, void *caller) {
  if (state->report.hits++) return;
  busy = true;
  Dl_info info = { 0 };
  dladdr(caller, &info);
  const char *object = info.dli_fname ? strrchr(info.dli_fname, '/') : NULL;
  snprintf(state->report.where, sizeof state->report.where, "%s from %s%s%s+0x%lx", call,
    object ? object + 1 : "?", info.dli_sname ? " " : "", info.dli_sname ? info.dli_sname : "",
    (unsigned long)((uintptr_t)caller - (uintptr_t)info.dli_fbase));
  busy = false;
}

static bool due(int kind, const char *call, void *caller) {
  if (!active || busy) return false;
  uint64_t count = ++state->kind[kind].count;
  if (kind != wanted) return false;
  if (repeats ? count % nth != 0 : stays ? count < nth : count != nth) return false;
  report_hit(call, caller);
  return true;
}

#define CALLER __builtin_return_address(0)
#define FAIL(kind, call, code, result) \
  if (due(kind, call, CALLER)) return errno = (code), (result)

static void *next(const char *name) {
  bool before = busy;
  busy = true;
  void *found = dlsym(RTLD_NEXT, name);
  busy = before;
  return found;
}
#define NEXT(name) \
  static __typeof__(&name) real; \
  if (!real) real = (__typeof__(&name))next(#name)

// MARK: Start

__attribute__((constructor)) static void begin(void) {
  busy = true;
  const char *program = getenv("FAULT_PROGRAM"), *place = getenv("FAULT_IN");
  const char *path = getenv("FAULT_STATE"), *fault = getenv("FAULT");
  char own[4096];
  ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
  own[length < 0 ? 0 : length] = 0;
  bool is_program = !program || !strcmp(program, own);
  bool in_children = place && !strcmp(place, "children");
  bool is_first = !getenv("FAULT_FIRST");
  if (is_first && is_program) setenv("FAULT_FIRST", "1", 1);
  if (!in_children) unsetenv("LD_PRELOAD");
  dl_iterate_phdr(note_object, NULL);
  active = is_program && in_children != is_first;
  if (active && path) {
    int file = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file >= 0 && ftruncate(file, sizeof *state) == 0) {
      void *shared = (void *)syscall(SYS_mmap, NULL, sizeof *state, PROT_READ | PROT_WRITE,
        MAP_SHARED, file, 0);
      if (shared != MAP_FAILED) state = shared;
    }
    if (file >= 0) syscall(SYS_close, file);
    state->kinds = KINDS;
    for (int i = 0; i < KINDS; i++)
      snprintf(state->kind[i].name, sizeof state->kind[i].name, "%s", names[i]);
  }
  for (int i = 0; fault && i < KINDS; i++) {
    size_t size = strlen(names[i]);
    if (strncmp(fault, names[i], size) || fault[size] != ':') continue;
    char *rest;
    nth = strtoull(fault + size + 1, &rest, 10);
    stays = !strcmp(rest, ":on");
    repeats = nth && !strcmp(rest, ":every");
    wanted = i;
  }
  busy = false;
}

// MARK: Memory

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static bool no_memory(const char *call, void *caller) {
  if (!active || busy) return false;
  return due(caller_owner(caller), call, caller);
}

// Swift allocates the frames of its coroutines by malloc, and does not check them. The program's
// own code allocates by the other functions.
void *malloc(size_t size) {
  int owner = active && !busy ? caller_owner(CALLER) : MEMORY_OTHER;
  if (due(owner == MEMORY_OWN ? MEMORY_SWIFT : owner, "malloc", CALLER)) return errno = ENOMEM, NULL;
  return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
  if (no_memory("calloc", CALLER)) return errno = ENOMEM, NULL;
  return __libc_calloc(count, size);
}

// libav sets default options by av_strdup without looking at the result, and its protocols then read
// through null. This is left out.
static bool copies_text(void *caller) {
  Dl_info info = { 0 };
  return active && !busy && caller_owner(caller) == MEMORY_VIDEO && dladdr(caller, &info)
    && info.dli_sname && !strcmp(info.dli_sname, "av_strdup");
}

void *realloc(void *block, size_t size) {
  if (size && !copies_text(CALLER) && no_memory("realloc", CALLER)) return errno = ENOMEM, NULL;
  return __libc_realloc(block, size);
}

int posix_memalign(void **block, size_t alignment, size_t size) {
  if (no_memory("posix_memalign", CALLER)) return ENOMEM;
  void *found = __libc_memalign(alignment, size);
  if (!found) return ENOMEM;
  *block = found;
  return 0;
}

void *aligned_alloc(size_t alignment, size_t size) {
  if (no_memory("aligned_alloc", CALLER)) return errno = ENOMEM, NULL;
  return __libc_memalign(alignment, size);
}

void *memalign(size_t alignment, size_t size) {
  if (no_memory("memalign", CALLER)) return errno = ENOMEM, NULL;
  return __libc_memalign(alignment, size);
}

void *mmap(void *at, size_t size, int protection, int flags, int file, off_t offset) {
  if (no_memory("mmap", CALLER)) return errno = ENOMEM, MAP_FAILED;
  return (void *)syscall(SYS_mmap, at, size, protection, flags, file, offset);
}
void *mmap64(void *at, size_t size, int protection, int flags, int file, off_t offset)
  __attribute__((alias("mmap")));

// MARK: Reading and writing

// Messages always reach the terminal.
static bool is_stderr(int file) { return file == STDERR_FILENO; }

static bool writing_fails(int file, const char *call, void *caller) {
  if (is_stderr(file)) return false;
  if (due(WRITE_FULL, call, caller)) return errno = ENOSPC, true;
  if (due(WRITE_ERROR, call, caller)) return errno = EIO, true;
  if (due(INTERRUPT, call, caller)) return errno = EINTR, true;
  return false;
}

static bool reading_fails(const char *call, void *caller) {
  if (due(READ_ERROR, call, caller)) return errno = EIO, true;
  if (due(INTERRUPT, call, caller)) return errno = EINTR, true;
  return false;
}

static size_t part(int kind, size_t size, const char *call, void *caller) {
  return size > 1 && due(kind, call, caller) ? (size + 1) / 2 : size;
}

ssize_t write(int file, const void *bytes, size_t size) {
  if (writing_fails(file, "write", CALLER)) return -1;
  if (!is_stderr(file)) size = part(WRITE_SHORT, size, "write", CALLER);
  return syscall(SYS_write, file, bytes, size);
}

ssize_t pwrite(int file, const void *bytes, size_t size, off_t offset) {
  if (writing_fails(file, "pwrite", CALLER)) return -1;
  return syscall(SYS_pwrite64, file, bytes, part(WRITE_SHORT, size, "pwrite", CALLER), offset);
}
ssize_t pwrite64(int, const void *, size_t, off_t) __attribute__((alias("pwrite")));

ssize_t read(int file, void *bytes, size_t size) {
  if (reading_fails("read", CALLER)) return -1;
  return syscall(SYS_read, file, bytes, part(READ_SHORT, size, "read", CALLER));
}

ssize_t pread(int file, void *bytes, size_t size, off_t offset) {
  if (reading_fails("pread", CALLER)) return -1;
  return syscall(SYS_pread64, file, bytes, part(READ_SHORT, size, "pread", CALLER), offset);
}
ssize_t pread64(int, void *, size_t, off_t) __attribute__((alias("pread")));

int ftruncate(int file, off_t size) {
  if (writing_fails(file, "ftruncate", CALLER)) return -1;
  return syscall(SYS_ftruncate, file, size);
}
int ftruncate64(int, off_t) __attribute__((alias("ftruncate")));

ssize_t send(int file, const void *bytes, size_t size, int flags) {
  FAIL(INTERRUPT, "send", EINTR, -1);
  size = part(WRITE_SHORT, size, "send", CALLER);
  return syscall(SYS_sendto, file, bytes, size, flags, NULL, 0);
}

ssize_t recv(int file, void *bytes, size_t size, int flags) {
  FAIL(INTERRUPT, "recv", EINTR, -1);
  size = part(READ_SHORT, size, "recv", CALLER);
  return syscall(SYS_recvfrom, file, bytes, size, flags, NULL, NULL);
}

int poll(struct pollfd *files, nfds_t count, int milliseconds) {
  FAIL(INTERRUPT, "poll", EINTR, -1);
  return syscall(SYS_poll, files, count, milliseconds);
}

pid_t waitpid(pid_t process, int *status, int options) {
  FAIL(INTERRUPT, "waitpid", EINTR, -1);
  return syscall(SYS_wait4, process, status, options, NULL);
}

// stdio: libc itself writes its buffers.
size_t fwrite(const void *bytes, size_t size, size_t count, FILE *stream) {
  NEXT(fwrite);
  if (stream != stderr && (due(WRITE_FULL, "fwrite", CALLER) || due(WRITE_ERROR, "fwrite", CALLER))) {
    stream->_flags |= 0x20;  // what ferror looks at
    errno = wanted == WRITE_FULL ? ENOSPC : EIO;
    return 0;
  }
  return real(bytes, size, count, stream);
}

int fflush(FILE *stream) {
  NEXT(fflush);
  if (stream && stream != stderr
      && (due(WRITE_FULL, "fflush", CALLER) || due(WRITE_ERROR, "fflush", CALLER))) {
    stream->_flags |= 0x20;
    errno = wanted == WRITE_FULL ? ENOSPC : EIO;
    return EOF;
  }
  return real(stream);
}

size_t fread(void *bytes, size_t size, size_t count, FILE *stream) {
  NEXT(fread);
  if (due(READ_ERROR, "fread", CALLER)) {
    stream->_flags |= 0x20;
    errno = EIO;
    return 0;
  }
  return real(bytes, size, count, stream);
}

// MARK: Files

int fsync(int file) {
  FAIL(SYNC_ERROR, "fsync", EIO, -1);
  FAIL(INTERRUPT, "fsync", EINTR, -1);
  return syscall(SYS_fsync, file);
}

int fdatasync(int file) {
  FAIL(SYNC_ERROR, "fdatasync", EIO, -1);
  FAIL(INTERRUPT, "fdatasync", EINTR, -1);
  return syscall(SYS_fdatasync, file);
}

// close closes a file whatever it returns; its error matters only for written files.
int close(int file) {
  struct stat found;
  int flags = fcntl(file, F_GETFL);
  bool is_written = flags >= 0 && (flags & O_ACCMODE) != O_RDONLY
    && syscall(SYS_fstat, file, &found) == 0 && S_ISREG(found.st_mode);
  bool fails = is_written && due(CLOSE_ERROR, "close", CALLER);
  bool interrupted = is_written && !fails && due(INTERRUPT, "close", CALLER);
  int status = syscall(SYS_close, file);
  if (fails) return errno = EIO, -1;
  if (interrupted) return errno = EINTR, -1;
  return status;
}

int rename(const char *from, const char *to) {
  FAIL(RENAME_ERROR, "rename", EIO, -1);
  return syscall(SYS_rename, from, to);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
  FAIL(RENAME_ERROR, "renameat", EIO, -1);
  return syscall(SYS_renameat, from_folder, from, to_folder, to);
}

int link(const char *from, const char *to) {
  FAIL(LINK_ERROR, "link", EPERM, -1);
  return syscall(SYS_link, from, to);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
  FAIL(LINK_ERROR, "linkat", EPERM, -1);
  return syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
}

static int open_at(int folder, const char *path, int flags, mode_t mode, void *caller) {
  if (due(OPEN_ERROR, "open", caller)) return errno = EMFILE, -1;
  // libav opens MP4 twice itself, and gives up on EINTR, which files on a disk never return.
  bool is_own = active && !busy && caller_owner(caller) == MEMORY_OWN;
  if (is_own && due(INTERRUPT, "open", caller)) return errno = EINTR, -1;
  return syscall(SYS_openat, folder, path, flags, mode);
}

#define MODE \
  mode_t mode = 0; \
  if (flags & (O_CREAT | O_TMPFILE)) { \
    va_list list; \
    va_start(list, flags); \
    mode = va_arg(list, mode_t); \
    va_end(list); \
  }

int open(const char *path, int flags, ...) {
  MODE;
  return open_at(AT_FDCWD, path, flags, mode, CALLER);
}
int open64(const char *path, int flags, ...) {
  MODE;
  return open_at(AT_FDCWD, path, flags, mode, CALLER);
}
int openat(int folder, const char *path, int flags, ...) {
  MODE;
  return open_at(folder, path, flags, mode, CALLER);
}
int openat64(int folder, const char *path, int flags, ...) {
  MODE;
  return open_at(folder, path, flags, mode, CALLER);
}

FILE *fopen(const char *path, const char *mode) {
  NEXT(fopen);
  FAIL(OPEN_ERROR, "fopen", EMFILE, NULL);
  return real(path, mode);
}
FILE *fopen64(const char *path, const char *mode) {
  NEXT(fopen64);
  FAIL(OPEN_ERROR, "fopen", EMFILE, NULL);
  return real(path, mode);
}

int mkstemp(char *template) {
  NEXT(mkstemp);
  FAIL(OPEN_ERROR, "mkstemp", EMFILE, -1);
  int file = real(template);
  if (file >= 0 && active) {
    uint64_t place = state->report.made++;
    if (place < most_names)
      snprintf(state->report.names[place], sizeof state->report.names[place], "%s", template);
  }
  return file;
}
int mkstemp64(char *template) { return mkstemp(template); }

DIR *opendir(const char *path) {
  NEXT(opendir);
  FAIL(FOLDER_ERROR, "opendir", EMFILE, NULL);
  return real(path);
}

int mkdir(const char *path, mode_t mode) {
  FAIL(FOLDER_ERROR, "mkdir", ENOSPC, -1);
  return syscall(SYS_mkdir, path, mode);
}

int unlink(const char *path) {
  FAIL(FOLDER_ERROR, "unlink", EIO, -1);
  return syscall(SYS_unlink, path);
}

int remove(const char *path) {
  NEXT(remove);
  FAIL(FOLDER_ERROR, "remove", EIO, -1);
  return real(path);
}

// MARK: Clocks, chance, threads, processes

// From the n-th call on, the wall clock is ten years off; the monotonic one is unchanged.
static time_t jump(const char *call, void *caller) {
  bool before = stays;
  stays = true;
  time_t years = 10L * 365 * 86400;
  time_t off = due(CLOCK_BACK, call, caller) ? -years : due(CLOCK_FORWARD, call, caller) ? years : 0;
  stays = before;
  return off;
}

int clock_gettime(clockid_t clock, struct timespec *found) {
  int status = syscall(SYS_clock_gettime, clock, found);
  if (clock == CLOCK_REALTIME && status == 0) found->tv_sec += jump("clock_gettime", CALLER);
  return status;
}

time_t time(time_t *found) {
  struct timespec now;
  syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
  time_t seconds = now.tv_sec + jump("time", CALLER);
  if (found) *found = seconds;
  return seconds;
}

int gettimeofday(struct timeval *found, void *zone) {
  int status = syscall(SYS_gettimeofday, found, zone);
  if (status == 0) found->tv_sec += jump("gettimeofday", CALLER);
  return status;
}

ssize_t getrandom(void *bytes, size_t size, unsigned flags) {
  FAIL(RANDOM, "getrandom", ENOSYS, -1);
  return syscall(SYS_getrandom, bytes, size, flags);
}

int getentropy(void *bytes, size_t size) {
  FAIL(RANDOM, "getentropy", ENOSYS, -1);
  return syscall(SYS_getrandom, bytes, size, 0) == (long)size ? 0 : -1;
}

// x265 waits forever for a thread that did not start. The program makes sure that one can before it
// opens x265; that only later ones cannot is left out.
static bool waits_for_threads(void *caller) {
  Dl_info info = { 0 };
  return dladdr(caller, &info) && info.dli_fname && strstr(info.dli_fname, "libx265");
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *),
    void *argument) {
  NEXT(pthread_create);
  if (!waits_for_threads(CALLER) && due(THREAD, "pthread_create", CALLER)) return EAGAIN;
  return real(thread, attributes, body, argument);
}

int posix_spawn(pid_t *process, const char *path, const posix_spawn_file_actions_t *actions,
    const posix_spawnattr_t *attributes, char *const *words, char *const *settings) {
  NEXT(posix_spawn);
  if (due(PROCESS, "posix_spawn", CALLER)) return EAGAIN;
  return real(process, path, actions, attributes, words, settings);
}

FILE *popen(const char *command, const char *mode) {
  NEXT(popen);
  FAIL(PROCESS, "popen", EAGAIN, NULL);
  return real(command, mode);
}

int system(const char *command) {
  NEXT(system);
  FAIL(PROCESS, "system", EAGAIN, -1);
  return real(command);
}

int socketpair(int domain, int kind, int protocol, int ends[2]) {
  FAIL(OPEN_ERROR, "socketpair", EMFILE, -1);
  return syscall(SYS_socketpair, domain, kind, protocol, ends);
}
