#pragma once

#include <stdbool.h>
#include <stddef.h>

/// MPI as functions: its constants are macros, which Swift cannot import, and differ between
/// libraries. Only this target is compiled against MPI; without the package trait MPI, every
/// function fails.

/// Whether this program was built with MPI.
bool lunerv_mpi_is_built(void);

/// The library and its version, one line; "" if there is none.
const char *_Nonnull lunerv_mpi_library(void);

/// Joins the ranks that were started with this process. Only the calling thread may use MPI.
/// Returns 0, or an error of MPI.
int lunerv_mpi_start(int *_Nonnull rank, int *_Nonnull size);

/// Leaves the ranks; returns when all have.
void lunerv_mpi_end(void);

/// Ends all ranks now.
void lunerv_mpi_abort(int code);

/// The message of an error from lunerv_mpi_*, valid until the next call.
const char *_Nonnull lunerv_mpi_text(int error);

/// The name of the machine that this rank runs on.
void lunerv_mpi_host(char *_Nonnull name, size_t room);

/// The largest tag of a message.
int lunerv_mpi_last_tag(void);

/// A message of at most 2^31 − 1 bytes.
typedef struct lunerv_mpi_request lunerv_mpi_request;

/// Begins to send or to receive; the bytes must stay where they are until it is done. NULL on
/// failure, with the error in `error`.
lunerv_mpi_request *_Nullable lunerv_mpi_send(
    const void *_Nullable bytes, int count, int to, int tag, int *_Nonnull error);
lunerv_mpi_request *_Nullable lunerv_mpi_receive(
    void *_Nullable bytes, int count, int from, int tag, int *_Nonnull error);

/// Lets MPI make progress. Returns 1 if this message is done, and sets the number of bytes received;
/// 0 if it is not; −1 on failure, with the error in `error`.
int lunerv_mpi_test(
    lunerv_mpi_request *_Nonnull request, int *_Nonnull received, int *_Nonnull error);

/// Frees a message, done or not.
void lunerv_mpi_forget(lunerv_mpi_request *_Nullable request);
