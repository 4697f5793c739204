#pragma once
#include <errno.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/avutil.h>
#include <libavutil/display.h>
#include <libavutil/imgutils.h>
#include <libavutil/log.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>

// Swift does not import function-like macros and casts. These stand in for them.

static inline int lunerv_averror(int code) { return AVERROR(code); }
static inline int lunerv_averror_eof(void) { return AVERROR_EOF; }
static inline int lunerv_averror_external(void) { return AVERROR_EXTERNAL; }
static inline int lunerv_averror_exit(void) { return AVERROR_EXIT; }
static inline int64_t lunerv_no_pts(void) { return AV_NOPTS_VALUE; }

// Swift sees fixed arrays as tuples. These index them.

static inline uint8_t *lunerv_plane(const AVFrame *frame, int index) {
  return index >= 0 && index < 4 ? frame->data[index] : NULL;
}
static inline int lunerv_stride(const AVFrame *frame, int index) {
  return index >= 0 && index < 4 ? frame->linesize[index] : 0;
}
static inline AVComponentDescriptor lunerv_component(const AVPixFmtDescriptor *d, int index) {
  return d->comp[index & 3];
}

/// Reads one row of one component, of any depth up to 16, as 16-bit values.
static inline void lunerv_read_row(
    const AVFrame *frame, const AVPixFmtDescriptor *d, int y, int component, int width,
    uint16_t *out) {
  const uint8_t *data[4] = {frame->data[0], frame->data[1], frame->data[2], frame->data[3]};
  av_read_image_line2(out, data, frame->linesize, d, 0, y, component, width, 0, 2);
}

/// Converts a whole frame into three planes of one stride, in the order of GBRP.
static inline int lunerv_scale_to_gbr(
    struct SwsContext *context, const AVFrame *frame, uint8_t *g, uint8_t *b, uint8_t *r,
    int stride) {
  uint8_t *planes[4] = {g, b, r, NULL};
  int strides[4] = {stride, stride, stride, 0};
  return sws_scale(
      context, (const uint8_t *const *)frame->data, frame->linesize, 0, frame->height, planes,
      strides);
}

/// Scales one byte plane.
static inline int lunerv_scale_plane(
    struct SwsContext *context, const uint8_t *from, int from_stride, int rows, uint8_t *to,
    int to_stride) {
  const uint8_t *source[4] = {from, NULL, NULL, NULL};
  int source_strides[4] = {from_stride, 0, 0, 0};
  uint8_t *target[4] = {to, NULL, NULL, NULL};
  int target_strides[4] = {to_stride, 0, 0, 0};
  return sws_scale(context, source, source_strides, 0, rows, target, target_strides);
}

/// Converts between two frames whose buffers exist.
static inline int lunerv_scale_frame(
    struct SwsContext *context, const AVFrame *from, AVFrame *to) {
  return sws_scale(
      context, (const uint8_t *const *)from->data, from->linesize, 0, from->height, to->data,
      to->linesize);
}

static inline int lunerv_refuse_open(
    AVFormatContext *context, AVIOContext **io, const char *url, int flags,
    AVDictionary **options) {
  (void)context, (void)io, (void)url, (void)flags, (void)options;
  return AVERROR(EPERM);
}
/// After this no demuxer can open another file than the one it was given.
static inline void lunerv_forbid_other_files(AVFormatContext *context) {
  context->io_open = lunerv_refuse_open;
}
