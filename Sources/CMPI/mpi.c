#include "CMPI.h"

#include <stdlib.h>
#include <string.h>

#ifdef LUNERV_MPI

#include <mpi.h>
#include <stdio.h>

struct lunerv_mpi_request {
  MPI_Request request;
  bool is_done;
  int received;
};

bool lunerv_mpi_is_built(void) { return true; }

const char *lunerv_mpi_library(void) {
  static char text[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0;
  if (MPI_Get_library_version(text, &length) != MPI_SUCCESS) return "MPI";
  // MPICH's continues with its configuration.
  text[strcspn(text, ",\n")] = 0;
  for (char *c = text; *c; c++) {
    if (*c == '\t') *c = ' ';
  }
  return text;
}

int lunerv_mpi_start(int *rank, int *size) {
  int provided = 0;
  int error = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided);
  // MPICH removes the buffer of standard output: within a line, the words of two ranks would mix.
  static char line[1 << 16];
  setvbuf(stdout, line, _IOLBF, sizeof line);
  if (error != MPI_SUCCESS) return error;
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  error = MPI_Comm_rank(MPI_COMM_WORLD, rank);
  if (error == MPI_SUCCESS) error = MPI_Comm_size(MPI_COMM_WORLD, size);
  if (error == MPI_SUCCESS && provided < MPI_THREAD_FUNNELED) error = MPI_ERR_OTHER;
  return error;
}

void lunerv_mpi_end(void) { MPI_Finalize(); }

void lunerv_mpi_abort(int code) { MPI_Abort(MPI_COMM_WORLD, code); }

const char *lunerv_mpi_text(int error) {
  static char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  if (MPI_Error_string(error, text, &length) != MPI_SUCCESS) return "unknown error";
  return text;
}

void lunerv_mpi_host(char *name, size_t room) {
  char text[MPI_MAX_PROCESSOR_NAME] = "";
  int length = 0;
  MPI_Get_processor_name(text, &length);
  strncpy(name, text, room - 1);
  name[room - 1] = 0;
}

int lunerv_mpi_last_tag(void) {
  int *value = NULL, is_set = 0;
  MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, &value, &is_set);
  return is_set && value ? *value : 32767;
}

static lunerv_mpi_request *begun(lunerv_mpi_request *request, int result, int *error) {
  *error = result;
  if (result == MPI_SUCCESS) return request;
  free(request);
  return NULL;
}

static lunerv_mpi_request *fresh(int *error) {
  lunerv_mpi_request *request = calloc(1, sizeof *request);
  if (!request) *error = MPI_ERR_NO_MEM;
  return request;
}

lunerv_mpi_request *lunerv_mpi_send(
    const void *bytes, int count, int to, int tag, int *error) {
  lunerv_mpi_request *r = fresh(error);
  if (!r) return NULL;
  return begun(
      r, MPI_Isend(bytes, count, MPI_BYTE, to, tag, MPI_COMM_WORLD, &r->request), error);
}

lunerv_mpi_request *lunerv_mpi_receive(void *bytes, int count, int from, int tag, int *error) {
  lunerv_mpi_request *r = fresh(error);
  if (!r) return NULL;
  return begun(
      r, MPI_Irecv(bytes, count, MPI_BYTE, from, tag, MPI_COMM_WORLD, &r->request), error);
}

int lunerv_mpi_test(lunerv_mpi_request *r, int *received, int *error) {
  if (!r->is_done) {
    MPI_Status status;
    int done = 0;
    *error = MPI_Test(&r->request, &done, &status);
    if (*error != MPI_SUCCESS) return -1;
    if (!done) return 0;
    r->is_done = true;
    MPI_Get_count(&status, MPI_BYTE, &r->received);
  }
  *received = r->received;
  return 1;
}

void lunerv_mpi_forget(lunerv_mpi_request *r) {
  if (!r) return;
  if (!r->is_done) MPI_Request_free(&r->request);
  free(r);
}

#else

bool lunerv_mpi_is_built(void) { return false; }
const char *lunerv_mpi_library(void) { return ""; }
int lunerv_mpi_start(int *rank, int *size) {
  (void)rank, (void)size;
  return 1;
}
void lunerv_mpi_end(void) {}
void lunerv_mpi_abort(int code) { exit(code); }
const char *lunerv_mpi_text(int error) {
  (void)error;
  return "built without MPI";
}
void lunerv_mpi_host(char *name, size_t room) {
  if (room > 0) name[0] = 0;
}
int lunerv_mpi_last_tag(void) { return 32767; }
lunerv_mpi_request *lunerv_mpi_send(
    const void *bytes, int count, int to, int tag, int *error) {
  (void)bytes, (void)count, (void)to, (void)tag;
  *error = 1;
  return NULL;
}
lunerv_mpi_request *lunerv_mpi_receive(void *bytes, int count, int from, int tag, int *error) {
  (void)bytes, (void)count, (void)from, (void)tag;
  *error = 1;
  return NULL;
}
int lunerv_mpi_test(lunerv_mpi_request *request, int *received, int *error) {
  (void)request, (void)received;
  *error = 1;
  return -1;
}
void lunerv_mpi_forget(lunerv_mpi_request *request) { (void)request; }

#endif
