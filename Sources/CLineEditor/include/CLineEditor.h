#pragma once

// Reads lines typed at a terminal, by libedit. Its functions take untyped arguments, which Swift
// cannot call. Signals are waited for here too, so that none is lost between checking for one and
// waiting for a key.

#include <stdbool.h>
#include <stddef.h>

typedef struct lunerv_editor lunerv_editor;

typedef struct lunerv_editor_callbacks {
  /// Whether a signal has asked for a stop.
  bool (*_Nonnull is_stopped)(void);
  /// Directs signals to the thread that is waiting now.
  void (*_Nonnull claim_signals)(void);
  /// Called when Tab is pressed.
  void (*_Nonnull complete)(lunerv_editor *_Nonnull editor, void *_Nullable context);
} lunerv_editor_callbacks;

typedef enum lunerv_line_status {
  lunerv_line_read,
  lunerv_line_end,
  lunerv_line_stopped,
} lunerv_line_status;

/// An editor that reads standard input and echoes to standard output, or to the error stream. Null
/// if libedit does not know the terminal.
lunerv_editor *_Nullable lunerv_editor_open(
    lunerv_editor_callbacks callbacks, void *_Nullable context, bool on_error_stream,
    int history_limit);
void lunerv_editor_close(lunerv_editor *_Nonnull editor);

/// The next line, without its newline. `line` stays valid until the next call.
lunerv_line_status lunerv_editor_read(
    lunerv_editor *_Nonnull editor, const char *_Nonnull prompt,
    const char *_Nullable *_Nonnull line, size_t *_Nonnull count);
/// Adds a line to the history of the arrow keys.
void lunerv_editor_remember(lunerv_editor *_Nonnull editor, const char *_Nonnull line);

// Functions for the Tab callback

/// The text before the cursor.
const char *_Nonnull lunerv_editor_text(lunerv_editor *_Nonnull editor, size_t *_Nonnull count);
void lunerv_editor_insert(lunerv_editor *_Nonnull editor, const char *_Nonnull text);
/// Prints text below the line, which is then shown again.
void lunerv_editor_show(lunerv_editor *_Nonnull editor, const char *_Nonnull text);

/// Reads a line of standard input as it is: for pipes, and for terminals that cannot edit.
lunerv_line_status lunerv_plain_read(
    lunerv_editor_callbacks callbacks, char *_Nullable *_Nonnull line, size_t *_Nonnull capacity,
    size_t *_Nonnull count);
