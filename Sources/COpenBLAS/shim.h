#pragma once
#include <cblas.h>
#include <stddef.h>

// LAPACK, which libopenblas carries and cblas.h does not declare. Matrices lie column by column,
// every argument is a reference, and the lengths of strings follow the others.

// Eigenvalues, ascending, and eigenvectors (in the columns of `a`) of a symmetric matrix.
void ssyevd_(
    const char *job, const char *triangle, const blasint *n, float *a, const blasint *lead,
    float *values, float *work, const blasint *work_size, blasint *integers,
    const blasint *integers_size, blasint *info, size_t job_length, size_t triangle_length);

// Householder's QR of a matrix, and the first columns of the Q that it describes.
void sgeqrf_(
    const blasint *m, const blasint *n, float *a, const blasint *lead, float *tau, float *work,
    const blasint *work_size, blasint *info);
void sorgqr_(
    const blasint *m, const blasint *n, const blasint *k, float *a, const blasint *lead,
    const float *tau, float *work, const blasint *work_size, blasint *info);
