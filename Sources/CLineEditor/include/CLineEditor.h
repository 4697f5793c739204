#pragma once

// Lines typed at a terminal, by libedit. Its functions take arguments without types, which Swift
// cannot call, and signals are waited for here: between looking for one and waiting for a key
// none may be lost.

#include <stdbool.h>
#include <stddef.h>

typedef struct lunerv_editor lunerv_editor;

typedef struct lunerv_editor_callbacks {
  /// Whether a signal has asked to stop.
  bool (*_Nonnull is_stopped)(void);
  /// Has signals delivered to the thread that waits now.
  void (*_Nonnull claim_signals)(void);
  /// Tab was pressed.
  void (*_Nonnull complete)(lunerv_editor *_Nonnull editor, void *_Nullable context);
} lunerv_editor_callbacks;

typedef enum lunerv_line_status {
  lunerv_line_read,
  lunerv_line_end,
  lunerv_line_stopped,
} lunerv_line_status;

/// An editor on standard input that shows what is typed on standard output, or on the error stream.
/// Null where the terminal is none that libedit knows.
lunerv_editor *_Nullable lunerv_editor_open(
    lunerv_editor_callbacks callbacks, void *_Nullable context, bool on_error_stream,
    int history_limit);
void lunerv_editor_close(lunerv_editor *_Nonnull editor);

/// The next line, without its end. `line` stays valid until the next call.
lunerv_line_status lunerv_editor_read(
    lunerv_editor *_Nonnull editor, const char *_Nonnull prompt,
    const char *_Nullable *_Nonnull line, size_t *_Nonnull count);
/// Adds to what the arrow keys bring back.
void lunerv_editor_remember(lunerv_editor *_Nonnull editor, const char *_Nonnull line);

// While Tab is answered

/// What stands before the cursor.
const char *_Nonnull lunerv_editor_text(lunerv_editor *_Nonnull editor, size_t *_Nonnull count);
void lunerv_editor_insert(lunerv_editor *_Nonnull editor, const char *_Nonnull text);
/// Writes below the line, which is then shown again.
void lunerv_editor_show(lunerv_editor *_Nonnull editor, const char *_Nonnull text);

/// A line of standard input as it comes, whatever it is: for pipes, and terminals that cannot edit.
lunerv_line_status lunerv_plain_read(
    lunerv_editor_callbacks callbacks, char *_Nullable *_Nonnull line, size_t *_Nonnull capacity,
    size_t *_Nonnull count);
