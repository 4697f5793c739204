// The standard library inside the program: one entry for each file under stdlib/lunerv, in the order
// of their names. Tests/lua/test_embedding.lua fails, and prints the entry, for a file without one.
#include "CStdlib.h"

#pragma clang diagnostic ignored "-Wc23-extensions"  // #embed

#define MODULE(name) {name, (const unsigned char[]) {
#define END , 0}},

const lunerv_stdlib_file lunerv_stdlib_files[] = {
MODULE("lunerv")
#embed "../../stdlib/lunerv/init.lua"
END
MODULE("lunerv.batch")
#embed "../../stdlib/lunerv/batch/init.lua"
END
MODULE("lunerv.batch.clips")
#embed "../../stdlib/lunerv/batch/clips.lua"
END
MODULE("lunerv.batch.share")
#embed "../../stdlib/lunerv/batch/share.lua"
END
MODULE("lunerv.bd_rate")
#embed "../../stdlib/lunerv/bd_rate.lua"
END
MODULE("lunerv.bench")
#embed "../../stdlib/lunerv/bench.lua"
END
MODULE("lunerv.bench.kernels")
#embed "../../stdlib/lunerv/bench/kernels.lua"
END
MODULE("lunerv.bench.operators")
#embed "../../stdlib/lunerv/bench/operators.lua"
END
MODULE("lunerv.bench.plan")
#embed "../../stdlib/lunerv/bench/plan.lua"
END
MODULE("lunerv.bench.process")
#embed "../../stdlib/lunerv/bench/process.lua"
END
MODULE("lunerv.bench.quality")
#embed "../../stdlib/lunerv/bench/quality.lua"
END
MODULE("lunerv.bench.quality_report")
#embed "../../stdlib/lunerv/bench/quality_report.lua"
END
MODULE("lunerv.bench.ranks")
#embed "../../stdlib/lunerv/bench/ranks.lua"
END
MODULE("lunerv.bench.report")
#embed "../../stdlib/lunerv/bench/report.lua"
END
MODULE("lunerv.bench.roofline")
#embed "../../stdlib/lunerv/bench/roofline.lua"
END
MODULE("lunerv.bench.search")
#embed "../../stdlib/lunerv/bench/search.lua"
END
MODULE("lunerv.bench.sharing")
#embed "../../stdlib/lunerv/bench/sharing.lua"
END
MODULE("lunerv.bench.sides")
#embed "../../stdlib/lunerv/bench/sides.lua"
END
MODULE("lunerv.bench.sizes")
#embed "../../stdlib/lunerv/bench/sizes.lua"
END
MODULE("lunerv.bench.steps")
#embed "../../stdlib/lunerv/bench/steps.lua"
END
MODULE("lunerv.bench.torch")
#embed "../../stdlib/lunerv/bench/torch.lua"
END
MODULE("lunerv.bench.trial")
#embed "../../stdlib/lunerv/bench/trial.lua"
END
MODULE("lunerv.checkpoint")
#embed "../../stdlib/lunerv/checkpoint.lua"
END
MODULE("lunerv.claims")
#embed "../../stdlib/lunerv/claims.lua"
END
MODULE("lunerv.codec")
#embed "../../stdlib/lunerv/codec/init.lua"
END
MODULE("lunerv.codec.buffers")
#embed "../../stdlib/lunerv/codec/buffers.lua"
END
MODULE("lunerv.codec.confined")
#embed "../../stdlib/lunerv/codec/confined.lua"
END
MODULE("lunerv.codec.decoders")
#embed "../../stdlib/lunerv/codec/decoders.lua"
END
MODULE("lunerv.codec.layout")
#embed "../../stdlib/lunerv/codec/layout.lua"
END
MODULE("lunerv.codec.modelled")
#embed "../../stdlib/lunerv/codec/modelled.lua"
END
MODULE("lunerv.codec.order")
#embed "../../stdlib/lunerv/codec/order.lua"
END
MODULE("lunerv.codec.program")
#embed "../../stdlib/lunerv/codec/program.lua"
END
MODULE("lunerv.codec.required_level")
#embed "../../stdlib/lunerv/codec/required_level.lua"
END
MODULE("lunerv.codec.video")
#embed "../../stdlib/lunerv/codec/video.lua"
END
MODULE("lunerv.coder")
#embed "../../stdlib/lunerv/coder.lua"
END
MODULE("lunerv.coder.models")
#embed "../../stdlib/lunerv/coder/models.lua"
END
MODULE("lunerv.commands")
#embed "../../stdlib/lunerv/commands.lua"
END
MODULE("lunerv.compress")
#embed "../../stdlib/lunerv/compress/init.lua"
END
MODULE("lunerv.compress.camera")
#embed "../../stdlib/lunerv/compress/camera.lua"
END
MODULE("lunerv.compress.candidates")
#embed "../../stdlib/lunerv/compress/candidates.lua"
END
MODULE("lunerv.compress.cem")
#embed "../../stdlib/lunerv/compress/cem.lua"
END
MODULE("lunerv.compress.continuation")
#embed "../../stdlib/lunerv/compress/continuation.lua"
END
MODULE("lunerv.compress.goal")
#embed "../../stdlib/lunerv/compress/goal.lua"
END
MODULE("lunerv.compress.last_codes")
#embed "../../stdlib/lunerv/compress/last_codes.lua"
END
MODULE("lunerv.compress.latents")
#embed "../../stdlib/lunerv/compress/latents.lua"
END
MODULE("lunerv.compress.plan")
#embed "../../stdlib/lunerv/compress/plan.lua"
END
MODULE("lunerv.compress.price")
#embed "../../stdlib/lunerv/compress/price.lua"
END
MODULE("lunerv.compress.rate")
#embed "../../stdlib/lunerv/compress/rate.lua"
END
MODULE("lunerv.compress.record")
#embed "../../stdlib/lunerv/compress/record.lua"
END
MODULE("lunerv.compress.request")
#embed "../../stdlib/lunerv/compress/request.lua"
END
MODULE("lunerv.compress.rounding")
#embed "../../stdlib/lunerv/compress/rounding.lua"
END
MODULE("lunerv.compress.scenes")
#embed "../../stdlib/lunerv/compress/scenes.lua"
END
MODULE("lunerv.compress.segment_files")
#embed "../../stdlib/lunerv/compress/segment_files.lua"
END
MODULE("lunerv.compress.segments")
#embed "../../stdlib/lunerv/compress/segments.lua"
END
MODULE("lunerv.compress.sensitivity")
#embed "../../stdlib/lunerv/compress/sensitivity.lua"
END
MODULE("lunerv.compress.slots")
#embed "../../stdlib/lunerv/compress/slots.lua"
END
MODULE("lunerv.compress.subject")
#embed "../../stdlib/lunerv/compress/subject.lua"
END
MODULE("lunerv.compress.three_step")
#embed "../../stdlib/lunerv/compress/three_step.lua"
END
MODULE("lunerv.conversion")
#embed "../../stdlib/lunerv/conversion.lua"
END
MODULE("lunerv.csv")
#embed "../../stdlib/lunerv/csv.lua"
END
MODULE("lunerv.diagnose")
#embed "../../stdlib/lunerv/diagnose/init.lua"
END
MODULE("lunerv.diagnose.bars")
#embed "../../stdlib/lunerv/diagnose/bars.lua"
END
MODULE("lunerv.diagnose.maps")
#embed "../../stdlib/lunerv/diagnose/maps.lua"
END
MODULE("lunerv.digits")
#embed "../../stdlib/lunerv/digits.lua"
END
MODULE("lunerv.dist")
#embed "../../stdlib/lunerv/dist.lua"
END
MODULE("lunerv.doctor")
#embed "../../stdlib/lunerv/doctor.lua"
END
MODULE("lunerv.errors")
#embed "../../stdlib/lunerv/errors.lua"
END
MODULE("lunerv.gradients.callback")
#embed "../../stdlib/lunerv/gradients/callback.lua"
END
MODULE("lunerv.gradients.checkpoint")
#embed "../../stdlib/lunerv/gradients/checkpoint.lua"
END
MODULE("lunerv.gradients.func")
#embed "../../stdlib/lunerv/gradients/func.lua"
END
MODULE("lunerv.gradients.gradcheck")
#embed "../../stdlib/lunerv/gradients/gradcheck.lua"
END
MODULE("lunerv.gradients.hooks")
#embed "../../stdlib/lunerv/gradients/hooks.lua"
END
MODULE("lunerv.guard")
#embed "../../stdlib/lunerv/guard.lua"
END
MODULE("lunerv.help")
#embed "../../stdlib/lunerv/help/init.lua"
END
MODULE("lunerv.help.annotations")
#embed "../../stdlib/lunerv/help/annotations.lua"
END
MODULE("lunerv.help.api")
#embed "../../stdlib/lunerv/help/api.lua"
END
MODULE("lunerv.help.comments")
#embed "../../stdlib/lunerv/help/comments.lua"
END
MODULE("lunerv.help.pages")
#embed "../../stdlib/lunerv/help/pages.lua"
END
MODULE("lunerv.help.text")
#embed "../../stdlib/lunerv/help/text.lua"
END
MODULE("lunerv.help.uses")
#embed "../../stdlib/lunerv/help/uses.lua"
END
MODULE("lunerv.image")
#embed "../../stdlib/lunerv/image.lua"
END
MODULE("lunerv.interop")
#embed "../../stdlib/lunerv/interop.lua"
END
MODULE("lunerv.interop.enerv")
#embed "../../stdlib/lunerv/interop/enerv.lua"
END
MODULE("lunerv.interop.families")
#embed "../../stdlib/lunerv/interop/families.lua"
END
MODULE("lunerv.interop.hnerv")
#embed "../../stdlib/lunerv/interop/hnerv.lua"
END
MODULE("lunerv.interop.names")
#embed "../../stdlib/lunerv/interop/names.lua"
END
MODULE("lunerv.interop.nerv")
#embed "../../stdlib/lunerv/interop/nerv.lua"
END
MODULE("lunerv.interop.parameters")
#embed "../../stdlib/lunerv/interop/parameters.lua"
END
MODULE("lunerv.interop.programs")
#embed "../../stdlib/lunerv/interop/programs.lua"
END
MODULE("lunerv.interop.shapes")
#embed "../../stdlib/lunerv/interop/shapes.lua"
END
MODULE("lunerv.json")
#embed "../../stdlib/lunerv/json.lua"
END
MODULE("lunerv.loss")
#embed "../../stdlib/lunerv/loss.lua"
END
MODULE("lunerv.methods")
#embed "../../stdlib/lunerv/methods.lua"
END
MODULE("lunerv.metrics")
#embed "../../stdlib/lunerv/metrics.lua"
END
MODULE("lunerv.models")
#embed "../../stdlib/lunerv/models/init.lua"
END
MODULE("lunerv.models.advice")
#embed "../../stdlib/lunerv/models/advice.lua"
END
MODULE("lunerv.models.budget")
#embed "../../stdlib/lunerv/models/budget.lua"
END
MODULE("lunerv.models.enerv")
#embed "../../stdlib/lunerv/models/enerv.lua"
END
MODULE("lunerv.models.enerv_boost")
#embed "../../stdlib/lunerv/models/enerv_boost.lua"
END
MODULE("lunerv.models.geometry")
#embed "../../stdlib/lunerv/models/geometry.lua"
END
MODULE("lunerv.models.hnerv")
#embed "../../stdlib/lunerv/models/hnerv.lua"
END
MODULE("lunerv.models.hnerv_boost")
#embed "../../stdlib/lunerv/models/hnerv_boost.lua"
END
MODULE("lunerv.models.kinds")
#embed "../../stdlib/lunerv/models/kinds.lua"
END
MODULE("lunerv.models.model")
#embed "../../stdlib/lunerv/models/model.lua"
END
MODULE("lunerv.models.nerv")
#embed "../../stdlib/lunerv/models/nerv.lua"
END
MODULE("lunerv.models.nerv_boost")
#embed "../../stdlib/lunerv/models/nerv_boost.lua"
END
MODULE("lunerv.models.of_time")
#embed "../../stdlib/lunerv/models/of_time.lua"
END
MODULE("lunerv.models.presets")
#embed "../../stdlib/lunerv/models/presets.lua"
END
MODULE("lunerv.models.settings")
#embed "../../stdlib/lunerv/models/settings.lua"
END
MODULE("lunerv.names")
#embed "../../stdlib/lunerv/names.lua"
END
MODULE("lunerv.nn")
#embed "../../stdlib/lunerv/nn/init.lua"
END
MODULE("lunerv.nn.activation")
#embed "../../stdlib/lunerv/nn/activation.lua"
END
MODULE("lunerv.nn.activations")
#embed "../../stdlib/lunerv/nn/activations.lua"
END
MODULE("lunerv.nn.axes")
#embed "../../stdlib/lunerv/nn/axes.lua"
END
MODULE("lunerv.nn.batch_norm")
#embed "../../stdlib/lunerv/nn/batch_norm.lua"
END
MODULE("lunerv.nn.boost")
#embed "../../stdlib/lunerv/nn/boost.lua"
END
MODULE("lunerv.nn.boosted")
#embed "../../stdlib/lunerv/nn/boosted.lua"
END
MODULE("lunerv.nn.buffers")
#embed "../../stdlib/lunerv/nn/buffers.lua"
END
MODULE("lunerv.nn.call_hooks")
#embed "../../stdlib/lunerv/nn/call_hooks.lua"
END
MODULE("lunerv.nn.class")
#embed "../../stdlib/lunerv/nn/class.lua"
END
MODULE("lunerv.nn.conv2d")
#embed "../../stdlib/lunerv/nn/conv2d.lua"
END
MODULE("lunerv.nn.conv3d")
#embed "../../stdlib/lunerv/nn/conv3d.lua"
END
MODULE("lunerv.nn.conv_transpose2d")
#embed "../../stdlib/lunerv/nn/conv_transpose2d.lua"
END
MODULE("lunerv.nn.convnext")
#embed "../../stdlib/lunerv/nn/convnext.lua"
END
MODULE("lunerv.nn.dropout")
#embed "../../stdlib/lunerv/nn/dropout.lua"
END
MODULE("lunerv.nn.group_norm")
#embed "../../stdlib/lunerv/nn/group_norm.lua"
END
MODULE("lunerv.nn.layer_norm")
#embed "../../stdlib/lunerv/nn/layer_norm.lua"
END
MODULE("lunerv.nn.linear")
#embed "../../stdlib/lunerv/nn/linear.lua"
END
MODULE("lunerv.nn.list")
#embed "../../stdlib/lunerv/nn/list.lua"
END
MODULE("lunerv.nn.masked_conv2d")
#embed "../../stdlib/lunerv/nn/masked_conv2d.lua"
END
MODULE("lunerv.nn.mlp")
#embed "../../stdlib/lunerv/nn/mlp.lua"
END
MODULE("lunerv.nn.module")
#embed "../../stdlib/lunerv/nn/module.lua"
END
MODULE("lunerv.nn.nerv_block")
#embed "../../stdlib/lunerv/nn/nerv_block.lua"
END
MODULE("lunerv.nn.norm_affine")
#embed "../../stdlib/lunerv/nn/norm_affine.lua"
END
MODULE("lunerv.nn.observing")
#embed "../../stdlib/lunerv/nn/observing.lua"
END
MODULE("lunerv.nn.origin")
#embed "../../stdlib/lunerv/nn/origin.lua"
END
MODULE("lunerv.nn.out_image")
#embed "../../stdlib/lunerv/nn/out_image.lua"
END
MODULE("lunerv.nn.parameter")
#embed "../../stdlib/lunerv/nn/parameter.lua"
END
MODULE("lunerv.nn.pooling")
#embed "../../stdlib/lunerv/nn/pooling.lua"
END
MODULE("lunerv.nn.position_encoding")
#embed "../../stdlib/lunerv/nn/position_encoding.lua"
END
MODULE("lunerv.nn.reparametrise")
#embed "../../stdlib/lunerv/nn/reparametrise.lua"
END
MODULE("lunerv.nn.replacements")
#embed "../../stdlib/lunerv/nn/replacements.lua"
END
MODULE("lunerv.nn.rms_norm")
#embed "../../stdlib/lunerv/nn/rms_norm.lua"
END
MODULE("lunerv.nn.running")
#embed "../../stdlib/lunerv/nn/running.lua"
END
MODULE("lunerv.nn.sequential")
#embed "../../stdlib/lunerv/nn/sequential.lua"
END
MODULE("lunerv.nn.snerv_block")
#embed "../../stdlib/lunerv/nn/snerv_block.lua"
END
MODULE("lunerv.nn.state")
#embed "../../stdlib/lunerv/nn/state.lua"
END
MODULE("lunerv.nn.static_map")
#embed "../../stdlib/lunerv/nn/static_map.lua"
END
MODULE("lunerv.nn.tat")
#embed "../../stdlib/lunerv/nn/tat.lua"
END
MODULE("lunerv.nn.tat_residual")
#embed "../../stdlib/lunerv/nn/tat_residual.lua"
END
MODULE("lunerv.nn.transformer")
#embed "../../stdlib/lunerv/nn/transformer.lua"
END
MODULE("lunerv.nn.tree")
#embed "../../stdlib/lunerv/nn/tree.lua"
END
MODULE("lunerv.nn.two_conv_block")
#embed "../../stdlib/lunerv/nn/two_conv_block.lua"
END
MODULE("lunerv.nn.upsample")
#embed "../../stdlib/lunerv/nn/upsample.lua"
END
MODULE("lunerv.nn.with_parameters")
#embed "../../stdlib/lunerv/nn/with_parameters.lua"
END
MODULE("lunerv.optim")
#embed "../../stdlib/lunerv/optim.lua"
END
MODULE("lunerv.options")
#embed "../../stdlib/lunerv/options.lua"
END
MODULE("lunerv.options.catalogue")
#embed "../../stdlib/lunerv/options/catalogue.lua"
END
MODULE("lunerv.options.command_line")
#embed "../../stdlib/lunerv/options/command_line.lua"
END
MODULE("lunerv.options.help_text")
#embed "../../stdlib/lunerv/options/help_text.lua"
END
MODULE("lunerv.options.takes")
#embed "../../stdlib/lunerv/options/takes.lua"
END
MODULE("lunerv.options.values")
#embed "../../stdlib/lunerv/options/values.lua"
END
MODULE("lunerv.parallel")
#embed "../../stdlib/lunerv/parallel.lua"
END
MODULE("lunerv.pieces")
#embed "../../stdlib/lunerv/pieces.lua"
END
MODULE("lunerv.plot")
#embed "../../stdlib/lunerv/plot.lua"
END
MODULE("lunerv.plot.axis")
#embed "../../stdlib/lunerv/plot/axis.lua"
END
MODULE("lunerv.plot.draw")
#embed "../../stdlib/lunerv/plot/draw.lua"
END
MODULE("lunerv.plot.font")
#embed "../../stdlib/lunerv/plot/font.lua"
END
MODULE("lunerv.plot.legend")
#embed "../../stdlib/lunerv/plot/legend.lua"
END
MODULE("lunerv.plot.raster")
#embed "../../stdlib/lunerv/plot/raster.lua"
END
MODULE("lunerv.plot.svg")
#embed "../../stdlib/lunerv/plot/svg.lua"
END
MODULE("lunerv.profile")
#embed "../../stdlib/lunerv/profile.lua"
END
MODULE("lunerv.profile.command")
#embed "../../stdlib/lunerv/profile/command.lua"
END
MODULE("lunerv.profile.flame")
#embed "../../stdlib/lunerv/profile/flame.lua"
END
MODULE("lunerv.profile.measuring")
#embed "../../stdlib/lunerv/profile/measuring.lua"
END
MODULE("lunerv.profile.report")
#embed "../../stdlib/lunerv/profile/report.lua"
END
MODULE("lunerv.progress")
#embed "../../stdlib/lunerv/progress.lua"
END
MODULE("lunerv.quant")
#embed "../../stdlib/lunerv/quant.lua"
END
MODULE("lunerv.quoted")
#embed "../../stdlib/lunerv/quoted.lua"
END
MODULE("lunerv.raw_layout")
#embed "../../stdlib/lunerv/raw_layout.lua"
END
MODULE("lunerv.recipes")
#embed "../../stdlib/lunerv/recipes/init.lua"
END
MODULE("lunerv.recipes.fast")
#embed "../../stdlib/lunerv/recipes/fast.lua"
END
MODULE("lunerv.recipes.published")
#embed "../../stdlib/lunerv/recipes/published.lua"
END
MODULE("lunerv.reference")
#embed "../../stdlib/lunerv/reference.lua"
END
MODULE("lunerv.reload")
#embed "../../stdlib/lunerv/reload.lua"
END
MODULE("lunerv.repl.completion")
#embed "../../stdlib/lunerv/repl/completion.lua"
END
MODULE("lunerv.repl.locals")
#embed "../../stdlib/lunerv/repl/locals.lua"
END
MODULE("lunerv.repl.session")
#embed "../../stdlib/lunerv/repl/session.lua"
END
MODULE("lunerv.repl.show")
#embed "../../stdlib/lunerv/repl/show.lua"
END
MODULE("lunerv.repl.show_module")
#embed "../../stdlib/lunerv/repl/show_module.lua"
END
MODULE("lunerv.repl.show_tensor")
#embed "../../stdlib/lunerv/repl/show_tensor.lua"
END
MODULE("lunerv.repl.text")
#embed "../../stdlib/lunerv/repl/text.lua"
END
MODULE("lunerv.report")
#embed "../../stdlib/lunerv/report.lua"
END
MODULE("lunerv.report.frames")
#embed "../../stdlib/lunerv/report/frames.lua"
END
MODULE("lunerv.report.html")
#embed "../../stdlib/lunerv/report/html.lua"
END
MODULE("lunerv.report.page")
#embed "../../stdlib/lunerv/report/page.lua"
END
MODULE("lunerv.report.pictures")
#embed "../../stdlib/lunerv/report/pictures.lua"
END
MODULE("lunerv.report.read")
#embed "../../stdlib/lunerv/report/read.lua"
END
MODULE("lunerv.report.run")
#embed "../../stdlib/lunerv/report/run.lua"
END
MODULE("lunerv.report.script")
#embed "../../stdlib/lunerv/report/script.lua"
END
MODULE("lunerv.report.style")
#embed "../../stdlib/lunerv/report/style.lua"
END
MODULE("lunerv.report.tree")
#embed "../../stdlib/lunerv/report/tree.lua"
END
MODULE("lunerv.report.words")
#embed "../../stdlib/lunerv/report/words.lua"
END
MODULE("lunerv.report.write")
#embed "../../stdlib/lunerv/report/write.lua"
END
MODULE("lunerv.saved")
#embed "../../stdlib/lunerv/saved.lua"
END
MODULE("lunerv.schedule")
#embed "../../stdlib/lunerv/schedule.lua"
END
MODULE("lunerv.scratch")
#embed "../../stdlib/lunerv/scratch.lua"
END
MODULE("lunerv.shell")
#embed "../../stdlib/lunerv/shell.lua"
END
MODULE("lunerv.shell.completion")
#embed "../../stdlib/lunerv/shell/completion.lua"
END
MODULE("lunerv.shell.manual")
#embed "../../stdlib/lunerv/shell/manual.lua"
END
MODULE("lunerv.sources")
#embed "../../stdlib/lunerv/sources.lua"
END
MODULE("lunerv.tasks")
#embed "../../stdlib/lunerv/tasks/init.lua"
END
MODULE("lunerv.tasks.ablate")
#embed "../../stdlib/lunerv/tasks/ablate.lua"
END
MODULE("lunerv.tasks.inpaint")
#embed "../../stdlib/lunerv/tasks/inpaint.lua"
END
MODULE("lunerv.tasks.interpolate")
#embed "../../stdlib/lunerv/tasks/interpolate.lua"
END
MODULE("lunerv.tasks.plans")
#embed "../../stdlib/lunerv/tasks/plans.lua"
END
MODULE("lunerv.tasks.view")
#embed "../../stdlib/lunerv/tasks/view.lua"
END
MODULE("lunerv.train")
#embed "../../stdlib/lunerv/train.lua"
END
MODULE("lunerv.train.average")
#embed "../../stdlib/lunerv/train/average.lua"
END
MODULE("lunerv.train.batch")
#embed "../../stdlib/lunerv/train/batch.lua"
END
MODULE("lunerv.train.best")
#embed "../../stdlib/lunerv/train/best.lua"
END
MODULE("lunerv.train.callbacks")
#embed "../../stdlib/lunerv/train/callbacks.lua"
END
MODULE("lunerv.train.dataset")
#embed "../../stdlib/lunerv/train/dataset.lua"
END
MODULE("lunerv.train.record")
#embed "../../stdlib/lunerv/train/record.lua"
END
MODULE("lunerv.train.report")
#embed "../../stdlib/lunerv/train/report.lua"
END
MODULE("lunerv.train.resume")
#embed "../../stdlib/lunerv/train/resume.lua"
END
MODULE("lunerv.train.settings")
#embed "../../stdlib/lunerv/train/settings.lua"
END
MODULE("lunerv.train.source")
#embed "../../stdlib/lunerv/train/source.lua"
END
MODULE("lunerv.train.step")
#embed "../../stdlib/lunerv/train/step.lua"
END
MODULE("lunerv.train.team")
#embed "../../stdlib/lunerv/train/team.lua"
END
MODULE("lunerv.verify")
#embed "../../stdlib/lunerv/verify/init.lua"
END
MODULE("lunerv.verify.cem")
#embed "../../stdlib/lunerv/verify/cem.lua"
END
MODULE("lunerv.verify.golden")
#embed "../../stdlib/lunerv/verify/golden.lua"
END
MODULE("lunerv.verify.model")
#embed "../../stdlib/lunerv/verify/model.lua"
END
MODULE("lunerv.video")
#embed "../../stdlib/lunerv/video.lua"
END
MODULE("lunerv.watch")
#embed "../../stdlib/lunerv/watch.lua"
END
MODULE("lunerv.workers")
#embed "../../stdlib/lunerv/workers.lua"
END
};

const size_t lunerv_stdlib_count =
    sizeof(lunerv_stdlib_files) / sizeof(lunerv_stdlib_files[0]);
