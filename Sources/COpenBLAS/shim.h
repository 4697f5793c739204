#pragma once
#include <cblas.h>
#include <stddef.h>

// LAPACK functions, which libopenblas contains but cblas.h does not declare. Matrices are
// column-major, arguments are passed by reference, and the lengths of strings come last.

// Eigenvalues, ascending, and eigenvectors (in the columns of `a`) of a symmetric matrix.
void ssyevd_(
    const char *job, const char *triangle, const blasint *n, float *a, const blasint *lead,
    float *values, float *work, const blasint *work_size, blasint *integers,
    const blasint *integers_size, blasint *info, size_t job_length, size_t triangle_length);

// The QR decomposition by Householder reflections, and the first columns of its Q.
void sgeqrf_(
    const blasint *m, const blasint *n, float *a, const blasint *lead, float *tau, float *work,
    const blasint *work_size, blasint *info);
void sorgqr_(
    const blasint *m, const blasint *n, const blasint *k, float *a, const blasint *lead,
    const float *tau, float *work, const blasint *work_size, blasint *info);
void dsyevd_(
    const char *job, const char *triangle, const blasint *n, double *a, const blasint *lead,
    double *values, double *work, const blasint *work_size, blasint *integers,
    const blasint *integers_size, blasint *info, size_t job_length, size_t triangle_length);
void dgeqrf_(
    const blasint *m, const blasint *n, double *a, const blasint *lead, double *tau, double *work,
    const blasint *work_size, blasint *info);
void dorgqr_(
    const blasint *m, const blasint *n, const blasint *k, double *a, const blasint *lead,
    const double *tau, double *work, const blasint *work_size, blasint *info);

// Cholesky: the triangle whose product with its transpose is a positive definite matrix.
void spotrf_(
    const char *triangle, const blasint *n, float *a, const blasint *lead, blasint *info,
    size_t triangle_length);
void dpotrf_(
    const char *triangle, const blasint *n, double *a, const blasint *lead, blasint *info,
    size_t triangle_length);

// LU factors with partial pivoting, and solutions of linear systems from them.
void sgetrf_(
    const blasint *m, const blasint *n, float *a, const blasint *lead, blasint *pivots,
    blasint *info);
void dgetrf_(
    const blasint *m, const blasint *n, double *a, const blasint *lead, blasint *pivots,
    blasint *info);
void sgetrs_(
    const char *transpose, const blasint *n, const blasint *columns, const float *a,
    const blasint *lead, const blasint *pivots, float *b, const blasint *lead_b, blasint *info,
    size_t transpose_length);
void dgetrs_(
    const char *transpose, const blasint *n, const blasint *columns, const double *a,
    const blasint *lead, const blasint *pivots, double *b, const blasint *lead_b, blasint *info,
    size_t transpose_length);
