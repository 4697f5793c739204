#define _GNU_SOURCE
#include "CLineEditor.h"

#include <errno.h>
#include <histedit.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

struct lunerv_editor {
  EditLine *edit;
  History *history;
  lunerv_editor_callbacks callbacks;
  void *context;
  FILE *output;
  const char *prompt;
  bool stopped;
  bool shown;
  /// A byte that was read, but belongs to the next character; −1 if there is none.
  int pending;
  /// Signals that are unblocked while waiting.
  sigset_t waiting;
};

// Signals that end a wait. All but the last two have handlers in the program.
static const int watched[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGCONT};
static volatile sig_atomic_t resized, continued;

static void note(int signal) {
  if (signal == SIGWINCH) resized = 1;
  if (signal == SIGCONT) continued = 1;
}

/// Blocks the signals outside of waits. `before` receives the previous mask.
static void hold(sigset_t *before) {
  sigset_t held;
  sigemptyset(&held);
  for (size_t i = 0; i < sizeof watched / sizeof *watched; i++) sigaddset(&held, watched[i]);
  pthread_sigmask(SIG_BLOCK, &held, before);
}

/// The mask of a wait: a signal that asks for a stop is always unblocked.
static sigset_t wait_mask(const sigset_t *before) {
  sigset_t mask = *before;
  for (size_t i = 0; i < sizeof watched / sizeof *watched; i++) sigdelset(&mask, watched[i]);
  return mask;
}

/// Refreshes the terminal after it was resized or the process was stopped.
static void refresh(lunerv_editor *e) {
  if (continued) {
    continued = 0;
    el_set(e->edit, EL_PREP_TERM, 0);
    el_set(e->edit, EL_PREP_TERM, 1);
    el_set(e->edit, EL_REFRESH);
  }
  if (resized) {
    resized = 0;
    el_resize(e->edit);
    el_set(e->edit, EL_REFRESH);
  }
}

/// Reads one byte of standard input: 1, 0 at the end, −1 if a signal asks for a stop.
static int next_byte(lunerv_editor *e, unsigned char *byte) {
  if (e->pending >= 0) {
    *byte = (unsigned char)e->pending;
    e->pending = -1;
    return 1;
  }
  for (;;) {
    e->callbacks.claim_signals();
    if (e->callbacks.is_stopped()) {
      e->stopped = true;
      errno = EINTR;
      return -1;
    }
    refresh(e);
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    if (ppoll(&input, 1, NULL, &e->waiting) < 0) {
      if (errno == EINTR) continue;
      return -1;
    }
    ssize_t count = read(STDIN_FILENO, byte, 1);
    if (count >= 0) return (int)count;
    if (errno != EINTR && errno != EAGAIN) return -1;
  }
}

/// Reads a character of UTF-8; invalid bytes become U+FFFD.
static int next_character(EditLine *edit, wchar_t *character) {
  lunerv_editor *e = NULL;
  el_get(edit, EL_CLIENTDATA, &e);
  unsigned char byte;
  int status = next_byte(e, &byte);
  if (status != 1) return status;
  int more = byte < 0x80 ? 0 : byte >> 5 == 6 ? 1 : byte >> 4 == 14 ? 2 : byte >> 3 == 30 ? 3 : -1;
  if (more < 0) {
    *character = 0xFFFD;
    return 1;
  }
  unsigned value = more == 0 ? byte : byte & (0x3Fu >> more);
  for (; more > 0; more--) {
    status = next_byte(e, &byte);
    if (status != 1) return status;
    if (byte >> 6 != 2) {
      e->pending = byte;
      *character = 0xFFFD;
      return 1;
    }
    value = value << 6 | (byte & 0x3F);
  }
  *character = (wchar_t)value;
  return 1;
}

static char *show_prompt(EditLine *edit) {
  lunerv_editor *e = NULL;
  el_get(edit, EL_CLIENTDATA, &e);
  return (char *)e->prompt;
}

/// Tab: two spaces at the beginning of a line, so that code can be pasted.
static unsigned char complete(EditLine *edit, int key) {
  (void)key;
  lunerv_editor *e = NULL;
  el_get(edit, EL_CLIENTDATA, &e);
  const LineInfo *line = el_line(edit);
  const char *c = line->buffer;
  while (c < line->cursor && (*c == ' ' || *c == '\t')) c++;
  if (c == line->cursor) {
    el_insertstr(edit, "  ");
    return CC_REFRESH;
  }
  e->shown = false;
  e->callbacks.complete(e, e->context);
  return e->shown ? CC_REDISPLAY : CC_REFRESH;
}

lunerv_editor *lunerv_editor_open(
    lunerv_editor_callbacks callbacks, void *context, bool on_error_stream, int history_limit) {
  lunerv_editor *e = calloc(1, sizeof *e);
  if (!e) return NULL;
  e->callbacks = callbacks;
  e->context = context;
  e->output = on_error_stream ? stderr : stdout;
  e->prompt = "";
  e->pending = -1;
  e->history = history_init();
  e->edit = el_init("lunerv", stdin, e->output, stderr);
  if (!e->edit || !e->history) {
    lunerv_editor_close(e);
    return NULL;
  }
  HistEvent event;
  history(e->history, &event, H_SETSIZE, history_limit);
  history(e->history, &event, H_SETUNIQUE, 1);
  el_set(e->edit, EL_CLIENTDATA, e);
  el_set(e->edit, EL_PROMPT, show_prompt);
  el_set(e->edit, EL_SIGNAL, 0);
  el_set(e->edit, EL_EDITOR, "emacs");
  el_set(e->edit, EL_HIST, history, e->history);
  el_set(e->edit, EL_GETCFN, next_character);
  el_set(e->edit, EL_ADDFN, "lunerv-complete", "Completes a name", complete);
  el_set(e->edit, EL_BIND, "^I", "lunerv-complete", NULL);
  el_set(e->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
  // Ctrl and an arrow move by a word; Home, End and Delete as sent by terminals without keypad
  // mode.
  el_set(e->edit, EL_BIND, "\033[1;5C", "em-next-word", NULL);
  el_set(e->edit, EL_BIND, "\033[1;5D", "ed-prev-word", NULL);
  el_set(e->edit, EL_BIND, "\033[H", "ed-move-to-beg", NULL);
  el_set(e->edit, EL_BIND, "\033[F", "ed-move-to-end", NULL);
  el_set(e->edit, EL_BIND, "\033[3~", "ed-delete-next-char", NULL);
  el_source(e->edit, NULL);  // the user's ~/.editrc
  return e;
}

void lunerv_editor_close(lunerv_editor *e) {
  if (e->edit) el_end(e->edit);
  if (e->history) history_end(e->history);
  free(e);
}

lunerv_line_status lunerv_editor_read(
    lunerv_editor *e, const char *prompt, const char **line, size_t *count) {
  sigset_t before;
  struct sigaction noting, on_resize, on_continue;
  memset(&noting, 0, sizeof noting);
  noting.sa_handler = note;
  sigemptyset(&noting.sa_mask);
  hold(&before);
  e->waiting = wait_mask(&before);
  sigaction(SIGWINCH, &noting, &on_resize);
  sigaction(SIGCONT, &noting, &on_continue);
  e->prompt = prompt;
  e->stopped = false;
  int length = 0;
  // el_gets shows the prompt before it prepares the terminal: a Ctrl-D in between would be lost.
  el_set(e->edit, EL_PREP_TERM, 1);
  const char *text = el_gets(e->edit, &length);
  sigaction(SIGWINCH, &on_resize, NULL);
  sigaction(SIGCONT, &on_continue, NULL);
  pthread_sigmask(SIG_SETMASK, &before, NULL);

  *line = text;
  *count = text && length > 0 ? (size_t)length : 0;
  if (e->stopped) return lunerv_line_stopped;
  if (!text || length <= 0) return lunerv_line_end;
  while (*count > 0 && (text[*count - 1] == '\n' || text[*count - 1] == '\r')) --*count;
  return lunerv_line_read;
}

void lunerv_editor_remember(lunerv_editor *e, const char *line) {
  HistEvent event;
  history(e->history, &event, H_ENTER, line);
}

const char *lunerv_editor_text(lunerv_editor *e, size_t *count) {
  const LineInfo *line = el_line(e->edit);
  *count = (size_t)(line->cursor - line->buffer);
  return line->buffer;
}

void lunerv_editor_insert(lunerv_editor *e, const char *text) { el_insertstr(e->edit, text); }

void lunerv_editor_show(lunerv_editor *e, const char *text) {
  e->shown = true;
  fprintf(e->output, "\n%s", text);
}

lunerv_line_status lunerv_plain_read(
    lunerv_editor_callbacks callbacks, char **line, size_t *capacity, size_t *count) {
  sigset_t before, waiting;
  hold(&before);
  waiting = wait_mask(&before);
  *count = 0;
  lunerv_line_status status = lunerv_line_end;
  for (;;) {
    callbacks.claim_signals();
    if (callbacks.is_stopped()) {
      status = lunerv_line_stopped;
      break;
    }
    // Bytes that the stream has read already need no wait. A terminal delivers whole lines.
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    bool is_buffered = stdin->_IO_read_ptr < stdin->_IO_read_end;
    if (!is_buffered && ppoll(&input, 1, NULL, &waiting) < 0) {
      if (errno == EINTR) continue;
      break;
    }
    // Signals are let through: the rest of a line in a pipe may take long to arrive.
    pthread_sigmask(SIG_SETMASK, &waiting, NULL);
    ssize_t length = getline(line, capacity, stdin);
    int error = errno;
    hold(NULL);
    if (length < 0) {
      if (ferror(stdin) && error == EINTR) {
        clearerr(stdin);
        continue;
      }
      break;
    }
    *count = (size_t)length;
    while (*count > 0 && ((*line)[*count - 1] == '\n' || (*line)[*count - 1] == '\r')) --*count;
    status = lunerv_line_read;
    break;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return status;
}
