// The standard library inside the program. A file added under stdlib/lunerv gets two lines here;
// Tests/lua/test_embedding.lua fails until it has them.
#include "CStdlib.h"

#pragma clang diagnostic ignored "-Wc23-extensions"  // #embed

static const unsigned char lunerv[] = {
#embed "../../stdlib/lunerv/init.lua"
};
static const unsigned char lunerv_bd_rate[] = {
#embed "../../stdlib/lunerv/bd_rate.lua"
};
static const unsigned char lunerv_bench[] = {
#embed "../../stdlib/lunerv/bench.lua"
};
static const unsigned char lunerv_bench_kernels[] = {
#embed "../../stdlib/lunerv/bench/kernels.lua"
};
static const unsigned char lunerv_bench_plan[] = {
#embed "../../stdlib/lunerv/bench/plan.lua"
};
static const unsigned char lunerv_bench_process[] = {
#embed "../../stdlib/lunerv/bench/process.lua"
};
static const unsigned char lunerv_bench_quality[] = {
#embed "../../stdlib/lunerv/bench/quality.lua"
};
static const unsigned char lunerv_bench_quality_report[] = {
#embed "../../stdlib/lunerv/bench/quality_report.lua"
};
static const unsigned char lunerv_bench_report[] = {
#embed "../../stdlib/lunerv/bench/report.lua"
};
static const unsigned char lunerv_bench_roofline[] = {
#embed "../../stdlib/lunerv/bench/roofline.lua"
};
static const unsigned char lunerv_bench_search[] = {
#embed "../../stdlib/lunerv/bench/search.lua"
};
static const unsigned char lunerv_bench_sides[] = {
#embed "../../stdlib/lunerv/bench/sides.lua"
};
static const unsigned char lunerv_bench_sizes[] = {
#embed "../../stdlib/lunerv/bench/sizes.lua"
};
static const unsigned char lunerv_bench_steps[] = {
#embed "../../stdlib/lunerv/bench/steps.lua"
};
static const unsigned char lunerv_bench_torch[] = {
#embed "../../stdlib/lunerv/bench/torch.lua"
};
static const unsigned char lunerv_bench_trial[] = {
#embed "../../stdlib/lunerv/bench/trial.lua"
};
static const unsigned char lunerv_checkpoint[] = {
#embed "../../stdlib/lunerv/checkpoint.lua"
};
static const unsigned char lunerv_codec[] = {
#embed "../../stdlib/lunerv/codec/init.lua"
};
static const unsigned char lunerv_codec_confined[] = {
#embed "../../stdlib/lunerv/codec/confined.lua"
};
static const unsigned char lunerv_codec_decoders[] = {
#embed "../../stdlib/lunerv/codec/decoders.lua"
};
static const unsigned char lunerv_codec_layout[] = {
#embed "../../stdlib/lunerv/codec/layout.lua"
};
static const unsigned char lunerv_codec_program[] = {
#embed "../../stdlib/lunerv/codec/program.lua"
};
static const unsigned char lunerv_coder[] = {
#embed "../../stdlib/lunerv/coder.lua"
};
static const unsigned char lunerv_commands[] = {
#embed "../../stdlib/lunerv/commands.lua"
};
static const unsigned char lunerv_compress[] = {
#embed "../../stdlib/lunerv/compress/init.lua"
};
static const unsigned char lunerv_compress_cem[] = {
#embed "../../stdlib/lunerv/compress/cem.lua"
};
static const unsigned char lunerv_compress_goal[] = {
#embed "../../stdlib/lunerv/compress/goal.lua"
};
static const unsigned char lunerv_compress_latents[] = {
#embed "../../stdlib/lunerv/compress/latents.lua"
};
static const unsigned char lunerv_compress_last_codes[] = {
#embed "../../stdlib/lunerv/compress/last_codes.lua"
};
static const unsigned char lunerv_compress_plan[] = {
#embed "../../stdlib/lunerv/compress/plan.lua"
};
static const unsigned char lunerv_compress_rate[] = {
#embed "../../stdlib/lunerv/compress/rate.lua"
};
static const unsigned char lunerv_compress_scenes[] = {
#embed "../../stdlib/lunerv/compress/scenes.lua"
};
static const unsigned char lunerv_compress_segments[] = {
#embed "../../stdlib/lunerv/compress/segments.lua"
};
static const unsigned char lunerv_compress_sensitivity[] = {
#embed "../../stdlib/lunerv/compress/sensitivity.lua"
};
static const unsigned char lunerv_compress_shelf[] = {
#embed "../../stdlib/lunerv/compress/shelf.lua"
};
static const unsigned char lunerv_compress_slots[] = {
#embed "../../stdlib/lunerv/compress/slots.lua"
};
static const unsigned char lunerv_compress_subject[] = {
#embed "../../stdlib/lunerv/compress/subject.lua"
};
static const unsigned char lunerv_compress_three_step[] = {
#embed "../../stdlib/lunerv/compress/three_step.lua"
};
static const unsigned char lunerv_diagnose[] = {
#embed "../../stdlib/lunerv/diagnose/init.lua"
};
static const unsigned char lunerv_diagnose_bars[] = {
#embed "../../stdlib/lunerv/diagnose/bars.lua"
};
static const unsigned char lunerv_diagnose_maps[] = {
#embed "../../stdlib/lunerv/diagnose/maps.lua"
};
static const unsigned char lunerv_errors[] = {
#embed "../../stdlib/lunerv/errors.lua"
};
static const unsigned char lunerv_guard[] = {
#embed "../../stdlib/lunerv/guard.lua"
};
static const unsigned char lunerv_interop[] = {
#embed "../../stdlib/lunerv/interop.lua"
};
static const unsigned char lunerv_interop_names[] = {
#embed "../../stdlib/lunerv/interop/names.lua"
};
static const unsigned char lunerv_interop_programs[] = {
#embed "../../stdlib/lunerv/interop/programs.lua"
};
static const unsigned char lunerv_interop_shapes[] = {
#embed "../../stdlib/lunerv/interop/shapes.lua"
};
static const unsigned char lunerv_loss[] = {
#embed "../../stdlib/lunerv/loss.lua"
};
static const unsigned char lunerv_metrics[] = {
#embed "../../stdlib/lunerv/metrics.lua"
};
static const unsigned char lunerv_models[] = {
#embed "../../stdlib/lunerv/models/init.lua"
};
static const unsigned char lunerv_models_budget[] = {
#embed "../../stdlib/lunerv/models/budget.lua"
};
static const unsigned char lunerv_models_enerv[] = {
#embed "../../stdlib/lunerv/models/enerv.lua"
};
static const unsigned char lunerv_models_enerv_boost[] = {
#embed "../../stdlib/lunerv/models/enerv_boost.lua"
};
static const unsigned char lunerv_models_geometry[] = {
#embed "../../stdlib/lunerv/models/geometry.lua"
};
static const unsigned char lunerv_models_hnerv[] = {
#embed "../../stdlib/lunerv/models/hnerv.lua"
};
static const unsigned char lunerv_models_hnerv_boost[] = {
#embed "../../stdlib/lunerv/models/hnerv_boost.lua"
};
static const unsigned char lunerv_models_model[] = {
#embed "../../stdlib/lunerv/models/model.lua"
};
static const unsigned char lunerv_models_nerv[] = {
#embed "../../stdlib/lunerv/models/nerv.lua"
};
static const unsigned char lunerv_models_nerv_boost[] = {
#embed "../../stdlib/lunerv/models/nerv_boost.lua"
};
static const unsigned char lunerv_models_of_time[] = {
#embed "../../stdlib/lunerv/models/of_time.lua"
};
static const unsigned char lunerv_models_presets[] = {
#embed "../../stdlib/lunerv/models/presets.lua"
};
static const unsigned char lunerv_nn[] = {
#embed "../../stdlib/lunerv/nn/init.lua"
};
static const unsigned char lunerv_nn_activation[] = {
#embed "../../stdlib/lunerv/nn/activation.lua"
};
static const unsigned char lunerv_nn_boost[] = {
#embed "../../stdlib/lunerv/nn/boost.lua"
};
static const unsigned char lunerv_nn_boosted[] = {
#embed "../../stdlib/lunerv/nn/boosted.lua"
};
static const unsigned char lunerv_nn_class[] = {
#embed "../../stdlib/lunerv/nn/class.lua"
};
static const unsigned char lunerv_nn_conv2d[] = {
#embed "../../stdlib/lunerv/nn/conv2d.lua"
};
static const unsigned char lunerv_nn_convnext[] = {
#embed "../../stdlib/lunerv/nn/convnext.lua"
};
static const unsigned char lunerv_nn_layer_norm[] = {
#embed "../../stdlib/lunerv/nn/layer_norm.lua"
};
static const unsigned char lunerv_nn_linear[] = {
#embed "../../stdlib/lunerv/nn/linear.lua"
};
static const unsigned char lunerv_nn_list[] = {
#embed "../../stdlib/lunerv/nn/list.lua"
};
static const unsigned char lunerv_nn_mlp[] = {
#embed "../../stdlib/lunerv/nn/mlp.lua"
};
static const unsigned char lunerv_nn_nerv_block[] = {
#embed "../../stdlib/lunerv/nn/nerv_block.lua"
};
static const unsigned char lunerv_nn_norm_affine[] = {
#embed "../../stdlib/lunerv/nn/norm_affine.lua"
};
static const unsigned char lunerv_nn_origin[] = {
#embed "../../stdlib/lunerv/nn/origin.lua"
};
static const unsigned char lunerv_nn_out_image[] = {
#embed "../../stdlib/lunerv/nn/out_image.lua"
};
static const unsigned char lunerv_nn_parameter[] = {
#embed "../../stdlib/lunerv/nn/parameter.lua"
};
static const unsigned char lunerv_nn_position_encoding[] = {
#embed "../../stdlib/lunerv/nn/position_encoding.lua"
};
static const unsigned char lunerv_nn_sequential[] = {
#embed "../../stdlib/lunerv/nn/sequential.lua"
};
static const unsigned char lunerv_nn_snerv_block[] = {
#embed "../../stdlib/lunerv/nn/snerv_block.lua"
};
static const unsigned char lunerv_nn_tat[] = {
#embed "../../stdlib/lunerv/nn/tat.lua"
};
static const unsigned char lunerv_nn_tat_residual[] = {
#embed "../../stdlib/lunerv/nn/tat_residual.lua"
};
static const unsigned char lunerv_nn_transformer[] = {
#embed "../../stdlib/lunerv/nn/transformer.lua"
};
static const unsigned char lunerv_nn_two_conv_block[] = {
#embed "../../stdlib/lunerv/nn/two_conv_block.lua"
};
static const unsigned char lunerv_optim[] = {
#embed "../../stdlib/lunerv/optim.lua"
};
static const unsigned char lunerv_options[] = {
#embed "../../stdlib/lunerv/options.lua"
};
static const unsigned char lunerv_options_catalogue[] = {
#embed "../../stdlib/lunerv/options/catalogue.lua"
};
static const unsigned char lunerv_options_command_line[] = {
#embed "../../stdlib/lunerv/options/command_line.lua"
};
static const unsigned char lunerv_options_values[] = {
#embed "../../stdlib/lunerv/options/values.lua"
};
static const unsigned char lunerv_progress[] = {
#embed "../../stdlib/lunerv/progress.lua"
};
static const unsigned char lunerv_quant[] = {
#embed "../../stdlib/lunerv/quant.lua"
};
static const unsigned char lunerv_recipes[] = {
#embed "../../stdlib/lunerv/recipes/init.lua"
};
static const unsigned char lunerv_recipes_fast[] = {
#embed "../../stdlib/lunerv/recipes/fast.lua"
};
static const unsigned char lunerv_recipes_published[] = {
#embed "../../stdlib/lunerv/recipes/published.lua"
};
static const unsigned char lunerv_reference[] = {
#embed "../../stdlib/lunerv/reference.lua"
};
static const unsigned char lunerv_schedule[] = {
#embed "../../stdlib/lunerv/schedule.lua"
};
static const unsigned char lunerv_sources[] = {
#embed "../../stdlib/lunerv/sources.lua"
};
static const unsigned char lunerv_tasks[] = {
#embed "../../stdlib/lunerv/tasks/init.lua"
};
static const unsigned char lunerv_tasks_ablate[] = {
#embed "../../stdlib/lunerv/tasks/ablate.lua"
};
static const unsigned char lunerv_tasks_curves[] = {
#embed "../../stdlib/lunerv/tasks/curves.lua"
};
static const unsigned char lunerv_tasks_inpaint[] = {
#embed "../../stdlib/lunerv/tasks/inpaint.lua"
};
static const unsigned char lunerv_tasks_interpolate[] = {
#embed "../../stdlib/lunerv/tasks/interpolate.lua"
};
static const unsigned char lunerv_tasks_plans[] = {
#embed "../../stdlib/lunerv/tasks/plans.lua"
};
static const unsigned char lunerv_tasks_view[] = {
#embed "../../stdlib/lunerv/tasks/view.lua"
};
static const unsigned char lunerv_train[] = {
#embed "../../stdlib/lunerv/train.lua"
};
static const unsigned char lunerv_verify[] = {
#embed "../../stdlib/lunerv/verify/init.lua"
};
static const unsigned char lunerv_verify_cem[] = {
#embed "../../stdlib/lunerv/verify/cem.lua"
};
static const unsigned char lunerv_verify_golden[] = {
#embed "../../stdlib/lunerv/verify/golden.lua"
};
static const unsigned char lunerv_verify_model[] = {
#embed "../../stdlib/lunerv/verify/model.lua"
};
static const unsigned char lunerv_raw_layout[] = {
#embed "../../stdlib/lunerv/raw_layout.lua"
};
static const unsigned char lunerv_video[] = {
#embed "../../stdlib/lunerv/video.lua"
};

const lunerv_stdlib_file lunerv_stdlib_files[] = {
  {"lunerv", lunerv, sizeof(lunerv)},
  {"lunerv.bd_rate", lunerv_bd_rate, sizeof(lunerv_bd_rate)},
  {"lunerv.bench", lunerv_bench, sizeof(lunerv_bench)},
  {"lunerv.bench.kernels", lunerv_bench_kernels, sizeof(lunerv_bench_kernels)},
  {"lunerv.bench.plan", lunerv_bench_plan, sizeof(lunerv_bench_plan)},
  {"lunerv.bench.process", lunerv_bench_process, sizeof(lunerv_bench_process)},
  {"lunerv.bench.quality", lunerv_bench_quality, sizeof(lunerv_bench_quality)},
  {"lunerv.bench.quality_report", lunerv_bench_quality_report, sizeof(lunerv_bench_quality_report)},
  {"lunerv.bench.report", lunerv_bench_report, sizeof(lunerv_bench_report)},
  {"lunerv.bench.roofline", lunerv_bench_roofline, sizeof(lunerv_bench_roofline)},
  {"lunerv.bench.search", lunerv_bench_search, sizeof(lunerv_bench_search)},
  {"lunerv.bench.sides", lunerv_bench_sides, sizeof(lunerv_bench_sides)},
  {"lunerv.bench.sizes", lunerv_bench_sizes, sizeof(lunerv_bench_sizes)},
  {"lunerv.bench.steps", lunerv_bench_steps, sizeof(lunerv_bench_steps)},
  {"lunerv.bench.torch", lunerv_bench_torch, sizeof(lunerv_bench_torch)},
  {"lunerv.bench.trial", lunerv_bench_trial, sizeof(lunerv_bench_trial)},
  {"lunerv.checkpoint", lunerv_checkpoint, sizeof(lunerv_checkpoint)},
  {"lunerv.codec", lunerv_codec, sizeof(lunerv_codec)},
  {"lunerv.codec.confined", lunerv_codec_confined, sizeof(lunerv_codec_confined)},
  {"lunerv.codec.decoders", lunerv_codec_decoders, sizeof(lunerv_codec_decoders)},
  {"lunerv.codec.layout", lunerv_codec_layout, sizeof(lunerv_codec_layout)},
  {"lunerv.codec.program", lunerv_codec_program, sizeof(lunerv_codec_program)},
  {"lunerv.coder", lunerv_coder, sizeof(lunerv_coder)},
  {"lunerv.commands", lunerv_commands, sizeof(lunerv_commands)},
  {"lunerv.compress", lunerv_compress, sizeof(lunerv_compress)},
  {"lunerv.compress.cem", lunerv_compress_cem, sizeof(lunerv_compress_cem)},
  {"lunerv.compress.goal", lunerv_compress_goal, sizeof(lunerv_compress_goal)},
  {"lunerv.compress.latents", lunerv_compress_latents, sizeof(lunerv_compress_latents)},
  {"lunerv.compress.last_codes", lunerv_compress_last_codes, sizeof(lunerv_compress_last_codes)},
  {"lunerv.compress.plan", lunerv_compress_plan, sizeof(lunerv_compress_plan)},
  {"lunerv.compress.rate", lunerv_compress_rate, sizeof(lunerv_compress_rate)},
  {"lunerv.compress.scenes", lunerv_compress_scenes, sizeof(lunerv_compress_scenes)},
  {"lunerv.compress.segments", lunerv_compress_segments, sizeof(lunerv_compress_segments)},
  {"lunerv.compress.sensitivity", lunerv_compress_sensitivity, sizeof(lunerv_compress_sensitivity)},
  {"lunerv.compress.shelf", lunerv_compress_shelf, sizeof(lunerv_compress_shelf)},
  {"lunerv.compress.slots", lunerv_compress_slots, sizeof(lunerv_compress_slots)},
  {"lunerv.compress.subject", lunerv_compress_subject, sizeof(lunerv_compress_subject)},
  {"lunerv.compress.three_step", lunerv_compress_three_step, sizeof(lunerv_compress_three_step)},
  {"lunerv.diagnose", lunerv_diagnose, sizeof(lunerv_diagnose)},
  {"lunerv.diagnose.bars", lunerv_diagnose_bars, sizeof(lunerv_diagnose_bars)},
  {"lunerv.diagnose.maps", lunerv_diagnose_maps, sizeof(lunerv_diagnose_maps)},
  {"lunerv.errors", lunerv_errors, sizeof(lunerv_errors)},
  {"lunerv.guard", lunerv_guard, sizeof(lunerv_guard)},
  {"lunerv.interop", lunerv_interop, sizeof(lunerv_interop)},
  {"lunerv.interop.names", lunerv_interop_names, sizeof(lunerv_interop_names)},
  {"lunerv.interop.programs", lunerv_interop_programs, sizeof(lunerv_interop_programs)},
  {"lunerv.interop.shapes", lunerv_interop_shapes, sizeof(lunerv_interop_shapes)},
  {"lunerv.loss", lunerv_loss, sizeof(lunerv_loss)},
  {"lunerv.metrics", lunerv_metrics, sizeof(lunerv_metrics)},
  {"lunerv.models", lunerv_models, sizeof(lunerv_models)},
  {"lunerv.models.budget", lunerv_models_budget, sizeof(lunerv_models_budget)},
  {"lunerv.models.enerv", lunerv_models_enerv, sizeof(lunerv_models_enerv)},
  {"lunerv.models.enerv_boost", lunerv_models_enerv_boost, sizeof(lunerv_models_enerv_boost)},
  {"lunerv.models.geometry", lunerv_models_geometry, sizeof(lunerv_models_geometry)},
  {"lunerv.models.hnerv", lunerv_models_hnerv, sizeof(lunerv_models_hnerv)},
  {"lunerv.models.hnerv_boost", lunerv_models_hnerv_boost, sizeof(lunerv_models_hnerv_boost)},
  {"lunerv.models.model", lunerv_models_model, sizeof(lunerv_models_model)},
  {"lunerv.models.nerv", lunerv_models_nerv, sizeof(lunerv_models_nerv)},
  {"lunerv.models.nerv_boost", lunerv_models_nerv_boost, sizeof(lunerv_models_nerv_boost)},
  {"lunerv.models.of_time", lunerv_models_of_time, sizeof(lunerv_models_of_time)},
  {"lunerv.models.presets", lunerv_models_presets, sizeof(lunerv_models_presets)},
  {"lunerv.nn", lunerv_nn, sizeof(lunerv_nn)},
  {"lunerv.nn.activation", lunerv_nn_activation, sizeof(lunerv_nn_activation)},
  {"lunerv.nn.boost", lunerv_nn_boost, sizeof(lunerv_nn_boost)},
  {"lunerv.nn.boosted", lunerv_nn_boosted, sizeof(lunerv_nn_boosted)},
  {"lunerv.nn.class", lunerv_nn_class, sizeof(lunerv_nn_class)},
  {"lunerv.nn.conv2d", lunerv_nn_conv2d, sizeof(lunerv_nn_conv2d)},
  {"lunerv.nn.convnext", lunerv_nn_convnext, sizeof(lunerv_nn_convnext)},
  {"lunerv.nn.layer_norm", lunerv_nn_layer_norm, sizeof(lunerv_nn_layer_norm)},
  {"lunerv.nn.linear", lunerv_nn_linear, sizeof(lunerv_nn_linear)},
  {"lunerv.nn.list", lunerv_nn_list, sizeof(lunerv_nn_list)},
  {"lunerv.nn.mlp", lunerv_nn_mlp, sizeof(lunerv_nn_mlp)},
  {"lunerv.nn.nerv_block", lunerv_nn_nerv_block, sizeof(lunerv_nn_nerv_block)},
  {"lunerv.nn.norm_affine", lunerv_nn_norm_affine, sizeof(lunerv_nn_norm_affine)},
  {"lunerv.nn.origin", lunerv_nn_origin, sizeof(lunerv_nn_origin)},
  {"lunerv.nn.out_image", lunerv_nn_out_image, sizeof(lunerv_nn_out_image)},
  {"lunerv.nn.parameter", lunerv_nn_parameter, sizeof(lunerv_nn_parameter)},
  {"lunerv.nn.position_encoding", lunerv_nn_position_encoding, sizeof(lunerv_nn_position_encoding)},
  {"lunerv.nn.sequential", lunerv_nn_sequential, sizeof(lunerv_nn_sequential)},
  {"lunerv.nn.snerv_block", lunerv_nn_snerv_block, sizeof(lunerv_nn_snerv_block)},
  {"lunerv.nn.tat", lunerv_nn_tat, sizeof(lunerv_nn_tat)},
  {"lunerv.nn.tat_residual", lunerv_nn_tat_residual, sizeof(lunerv_nn_tat_residual)},
  {"lunerv.nn.transformer", lunerv_nn_transformer, sizeof(lunerv_nn_transformer)},
  {"lunerv.nn.two_conv_block", lunerv_nn_two_conv_block, sizeof(lunerv_nn_two_conv_block)},
  {"lunerv.optim", lunerv_optim, sizeof(lunerv_optim)},
  {"lunerv.options", lunerv_options, sizeof(lunerv_options)},
  {"lunerv.options.catalogue", lunerv_options_catalogue, sizeof(lunerv_options_catalogue)},
  {"lunerv.options.command_line", lunerv_options_command_line, sizeof(lunerv_options_command_line)},
  {"lunerv.options.values", lunerv_options_values, sizeof(lunerv_options_values)},
  {"lunerv.progress", lunerv_progress, sizeof(lunerv_progress)},
  {"lunerv.quant", lunerv_quant, sizeof(lunerv_quant)},
  {"lunerv.recipes", lunerv_recipes, sizeof(lunerv_recipes)},
  {"lunerv.recipes.fast", lunerv_recipes_fast, sizeof(lunerv_recipes_fast)},
  {"lunerv.recipes.published", lunerv_recipes_published, sizeof(lunerv_recipes_published)},
  {"lunerv.reference", lunerv_reference, sizeof(lunerv_reference)},
  {"lunerv.schedule", lunerv_schedule, sizeof(lunerv_schedule)},
  {"lunerv.sources", lunerv_sources, sizeof(lunerv_sources)},
  {"lunerv.tasks", lunerv_tasks, sizeof(lunerv_tasks)},
  {"lunerv.tasks.ablate", lunerv_tasks_ablate, sizeof(lunerv_tasks_ablate)},
  {"lunerv.tasks.curves", lunerv_tasks_curves, sizeof(lunerv_tasks_curves)},
  {"lunerv.tasks.inpaint", lunerv_tasks_inpaint, sizeof(lunerv_tasks_inpaint)},
  {"lunerv.tasks.interpolate", lunerv_tasks_interpolate, sizeof(lunerv_tasks_interpolate)},
  {"lunerv.tasks.plans", lunerv_tasks_plans, sizeof(lunerv_tasks_plans)},
  {"lunerv.tasks.view", lunerv_tasks_view, sizeof(lunerv_tasks_view)},
  {"lunerv.train", lunerv_train, sizeof(lunerv_train)},
  {"lunerv.verify", lunerv_verify, sizeof(lunerv_verify)},
  {"lunerv.verify.cem", lunerv_verify_cem, sizeof(lunerv_verify_cem)},
  {"lunerv.verify.golden", lunerv_verify_golden, sizeof(lunerv_verify_golden)},
  {"lunerv.verify.model", lunerv_verify_model, sizeof(lunerv_verify_model)},
  {"lunerv.raw_layout", lunerv_raw_layout, sizeof(lunerv_raw_layout)},
  {"lunerv.video", lunerv_video, sizeof(lunerv_video)},
};

const size_t lunerv_stdlib_count =
    sizeof(lunerv_stdlib_files) / sizeof(lunerv_stdlib_files[0]);
