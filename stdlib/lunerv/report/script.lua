-- The interactive part of a page: curves that show their values, and frames that can be compared.
-- Text is inserted as text, never as markup.
return [==[
(function () {
"use strict";
var SVG = "http://www.w3.org/2000/svg";
var data = JSON.parse(document.getElementById("data").textContent);

function make(parent, name, attributes, text) {
  var space = parent.namespaceURI === SVG || name === "svg";
  var node = space ? document.createElementNS(SVG, name) : document.createElement(name);
  for (var key in attributes || {}) node.setAttribute(key, attributes[key]);
  if (text !== undefined) node.textContent = text;
  return parent.appendChild(node);
}

function short(value, digits) {
  var size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2);
  return String(Number(value.toPrecision(digits || 4)));
}
function duration(s) {
  if (s < 1) return s.toFixed(2) + " s";
  if (s < 120) return Number(s.toPrecision(3)) + " s";
  if (s < 7200) return (s / 60).toFixed(1) + " min";
  return (s / 3600).toFixed(1) + " h";
}

function steps(low, high, most) {
  var rough = (high - low) / most, unit = Math.pow(10, Math.floor(Math.log10(rough))), list = [];
  [1, 2, 5, 10].some(function (factor) {
    if (unit * factor < 0.8 * rough) return false;
    unit *= factor;
    return true;
  });
  for (var k = Math.ceil(low / unit - 1e-9); k <= high / unit + 1e-9; k++) list.push(k * unit);
  return list;
}
function powers(low, high, most) {
  var list = [], factors = Math.log10(high / low) > 2.5 ? [1] : [1, 2, 5];
  if (high / low < 8) return steps(low, high, most);
  for (var p = Math.floor(Math.log10(low)); p <= Math.log10(high); p++)
    factors.forEach(function (f) {
      var value = f * Math.pow(10, p);
      if (value >= low * 0.999 && value <= high * 1.001) list.push(value);
    });
  return list.length >= 2 ? list : steps(low, high, most);
}

// The range of an axis; on a logarithmic one at least a factor of `least`, so that nearly equal
// rates look equal.
function scale(values, log, least) {
  values = values.filter(function (v) { return isFinite(v) && (!log || v > 0); });
  var low = Math.min.apply(null, values), high = Math.max.apply(null, values);
  if (!values.length) { low = log ? 1 : 0; high = log ? 10 : 1; }
  if (log) {
    var lack = Math.sqrt(Math.max(1, least / (high / low)));
    low /= lack; high *= lack;
    var room = Math.pow(high / low, 0.05);
    return { low: low / room, high: high * room, log: true };
  }
  if (high - low < 1e-12 + 1e-9 * Math.abs(high)) { low -= 0.5; high += 0.5; }
  var margin = 0.06 * (high - low);
  return { low: low >= 0 && low - margin < 0 ? Math.max(0, low - margin) : low - margin,
    high: high + margin, log: false };
}
function place(s, value, from, to) {
  var share = s.log ? Math.log(value / s.low) / Math.log(s.high / s.low)
    : (value - s.low) / (s.high - s.low);
  return from + share * (to - from);
}

// spec: series [{ name, colour, dashed, dots, points: [{ x, y, note, stage }] }], x and y
// { label, log, text }, hidden { name: true }, tip(point) → rows.
function Chart(element, spec) {
  var svg = make(element, "svg", { "aria-hidden": "true" });
  var tip = make(element, "div", { "class": "tip", role: "status", "aria-live": "polite" });
  tip.hidden = true;
  var width, height, x, y, box, at = -1, stops = [], layer;

  function shown() {
    return spec.series.filter(function (s) { return !spec.hidden[s.id]; });
  }
  function ok(p) { return p.y !== null && isFinite(p.y) && (!spec.x.log || p.x > 0); }

  function draw() {
    width = element.clientWidth; height = element.clientHeight;
    svg.textContent = "";
    svg.setAttribute("viewBox", "0 0 " + width + " " + height);
    tip.hidden = true;
    var xs = [], ys = [];
    shown().forEach(function (s) {
      s.points.filter(ok).forEach(function (p) { xs.push(p.x); ys.push(p.y); });
    });
    x = scale(xs, spec.x.log, 2); y = scale(ys, spec.y.log, 1.1);
    if (!spec.x.log && xs.length > 1) {
      x.low = Math.min.apply(null, xs); x.high = Math.max(Math.max.apply(null, xs), x.low + 1e-9);
    }
    if (y.log && !(y.low > 0)) y = scale(ys, false);
    var ticks = (y.log ? powers : steps)(y.low, y.high, height / 40);
    var words = ticks.map(function (v) { return short(v, 5); });
    var longest = Math.max.apply(null, words.map(function (w) { return w.length; }).concat(2));
    box = { left: 12 + 7.2 * longest, right: width - 14, top: 24, bottom: height - 36 };
    make(svg, "text", { x: 0, y: 11 }, spec.y.label);
    ticks.forEach(function (v, i) {
      var py = place(y, v, box.bottom, box.top);
      if (py < box.top - 1 || py > box.bottom + 1) return;
      make(svg, "line", { "class": "grid", x1: box.left, x2: box.right, y1: py, y2: py });
      make(svg, "text", { x: box.left - 8, y: py + 4, "text-anchor": "end" }, words[i]);
    });
    var last = -1e9;
    var marks = (x.log ? powers : steps)(x.low, x.high, Math.max(2, width / 90));
    marks.forEach(function (v) {
      var px = place(x, v, box.left, box.right);
      if (px - last < 44 || px < box.left - 1 || px > box.right + 1) return;
      last = px;
      make(svg, "line", { "class": "grid", x1: px, x2: px, y1: box.bottom, y2: box.bottom + 4 });
      make(svg, "text", { x: px, y: box.bottom + 18, "text-anchor": "middle" }, short(v, 5));
    });
    make(svg, "text", { x: box.right, y: height - 2, "text-anchor": "end" }, spec.x.label);
    stops = [];
    shown().forEach(function (s) {
      var path = "", stage, group = make(svg, "g", { "class": "c" + s.colour }), one = null, n = 0;
      function end() { if (n === 1) dot(group, one, 3.5); n = 0; }
      s.points.forEach(function (p) {
        if (!ok(p) || (y.log && p.y <= 0)) { end(); return; }
        p.px = place(x, p.x, box.left, box.right);
        p.py = place(y, p.y, box.bottom, box.top);
        p.series = s;
        stops.push(p);
        if (n && p.stage !== stage) end();
        path += (n ? "L" : "M") + p.px.toFixed(1) + " " + p.py.toFixed(1);
        stage = p.stage; one = p; n++;
      });
      end();
      if (path && !s.loose)
        make(group, "path", { "class": "line" + (s.dashed ? " dashed" : ""), d: path });
      if (s.dots) s.points.forEach(function (p) { if (ok(p)) dot(group, p, 4.2); });
    });
    stops.sort(function (a, b) { return a.px - b.px || a.py - b.py; });
    layer = make(svg, "g", {});
    if (at >= stops.length) at = -1;
  }
  function dot(group, p, r) {
    make(group, "circle", { "class": "dot", cx: p.px, cy: p.py, r: r });
  }

  // The value of every series nearest to a place on the x axis, or one point alone.
  function show(index) {
    at = index;
    layer.textContent = ""; tip.textContent = "";
    if (index < 0) { tip.hidden = true; return; }
    var p = stops[index], rows = [p];
    if (!spec.alone) {
      rows = shown().map(function (s) {
        var best = null;
        s.points.forEach(function (q) {
          if (q.px === undefined || q.series !== s || !ok(q)) return;
          if (!best || Math.abs(q.px - p.px) < Math.abs(best.px - p.px)) best = q;
        });
        return best;
      }).filter(function (q) { return q && Math.abs(q.px - p.px) < 30; });
      if (rows.length === 0) rows = [p];
      make(layer, "line", { "class": "cursor", x1: p.px, x2: p.px, y1: box.top, y2: box.bottom });
    }
    make(tip, "b", {}, spec.head(p));
    rows.forEach(function (q) {
      dot(make(layer, "g", { "class": "c" + q.series.colour }), q, 4.5);
      var row = make(tip, "div", {});
      make(row, "span", { "class": "swatch c" + q.series.colour });
      make(row, "span", { "class": "n" }, q.series.name);
      make(row, "span", { "class": "v" }, spec.value(q));
    });
    if (p.note) make(tip, "span", { "class": "note" }, p.note);
    tip.hidden = false;
    var w = tip.offsetWidth, h = tip.offsetHeight;
    var left = p.px + 14 + w > width ? p.px - 14 - w : p.px + 14;
    tip.style.left = Math.max(0, Math.min(left, width - w)) + "px";
    tip.style.top = Math.max(0, Math.min(p.py - h - 10, box.bottom - h)) + "px";
  }

  element.addEventListener("pointermove", function (event) {
    var area = element.getBoundingClientRect(), best = -1, least = Infinity;
    var px = event.clientX - area.left, py = event.clientY - area.top;
    stops.forEach(function (p, i) {
      var far = Math.abs(p.px - px) + (spec.alone ? 1 : 0.05) * Math.abs(p.py - py);
      if (far < least) { least = far; best = i; }
    });
    show(best);
  });
  element.addEventListener("pointerleave", function () { show(-1); });
  element.addEventListener("blur", function () { show(-1); });
  element.addEventListener("keydown", function (event) {
    var moves = { ArrowRight: 1, ArrowLeft: -1, Home: 0, End: 0 };
    var last = stops.length - 1, move = moves[event.key];
    if (event.key === "Escape") { show(-1); return; }
    if (move === undefined || last < 0) return;
    event.preventDefault();
    if (event.key === "Home") show(0);
    else if (event.key === "End") show(last);
    else if (at < 0) show(move > 0 ? 0 : last);
    else show(Math.max(0, Math.min(last, at + move)));
  });
  new ResizeObserver(draw).observe(element);
  this.draw = draw;
}

function choice(element, pick) {
  var buttons = element.querySelectorAll("button");
  buttons.forEach(function (button) {
    button.addEventListener("click", function () {
      buttons.forEach(function (b) { b.setAttribute("aria-pressed", String(b === button)); });
      pick(button.value);
    });
  });
}

function legend(element, series, hidden, changed) {
  series.forEach(function (s) {
    var button = make(element, "button", { type: "button", "aria-pressed": "true" });
    make(button, "span", { "class": "swatch c" + s.colour });
    make(button, "span", {}, s.name);
    button.addEventListener("click", function () {
      hidden[s.id] = !hidden[s.id];
      button.setAttribute("aria-pressed", String(!hidden[s.id]));
      changed();
    });
  });
}

function training(root) {
  var hidden = {}, by = "epochs", charts = [];
  function spec(field, label, log, text) {
    function series() {
      return data.training.map(function (run) {
        var points = run.points.map(function (p) {
          return { x: by === "epochs" ? p[0] : p[1], y: p[field], epoch: p[0], seconds: p[1],
            stage: p[4], note: run.stages.length > 1 ? run.stages[p[4] - 1] : "" };
        });
        return { id: run.id, name: run.name, colour: run.colour, points: points };
      });
    }
    var s = { hidden: hidden, x: {}, y: { label: label, log: log },
      head: function (p) { return "epoch " + p.epoch + ", " + duration(p.seconds); },
      value: function (p) { return text(p.y); } };
    s.refresh = function () {
      s.series = series();
      s.x.label = by === "epochs" ? "epochs" : "seconds of training";
    };
    s.refresh();
    return s;
  }
  [[2, "psnr", "PSNR in training, dB", false, function (v) { return v.toFixed(2) + " dB"; }],
   [3, "loss", "loss", true, function (v) { return short(v); }]].forEach(function (c) {
    var s = spec(c[0], c[2], c[3], c[4]);
    charts.push({ spec: s, chart: new Chart(root.querySelector("." + c[1]), s) });
  });
  function redraw() { charts.forEach(function (c) { c.spec.refresh(); c.chart.draw(); }); }
  choice(root.querySelector(".choice"), function (value) { by = value; redraw(); });
  if (data.training.length > 1)
    legend(root.querySelector(".legend"), data.training, hidden, redraw);
}

function rates(root) {
  var set = data.rates[Number(root.dataset.rates)], hidden = {};
  var series = set.map(function (s, i) {
    return { id: i, name: s.name, colour: s.colour, dashed: s.dashed, loose: s.loose,
      dots: true,
      points: s.points.map(function (p) {
        return { x: p[0], y: p[1], stage: 1,
          note: (p[3] ? p[3] + ", " : "") + (p[2] ? p[2].toLocaleString("en") + " bytes" : "") };
      }) };
  });
  var chart = new Chart(root.querySelector(".chart"), { series: series, hidden: hidden, alone: true,
    x: { label: "bits per pixel", log: true }, y: { label: "PSNR, 8 bits, dB", log: false },
    head: function (p) { return short(p.x) + " bpp"; },
    value: function (p) { return p.y.toFixed(2) + " dB"; } });
  legend(root.querySelector(".legend"), series, hidden, chart.draw);
}

function frames(root) {
  var all = root.querySelectorAll(".frame");
  function compared(action) { root.querySelectorAll(".compare").forEach(action); }
  all.forEach(function (frame, i) { frame.hidden = i > 0; });
  root.querySelectorAll(".choice").forEach(function (bar) {
    choice(bar, bar.dataset.of === "frame" ? function (value) {
      all.forEach(function (frame, i) { frame.hidden = i !== Number(value); });
    } : function (value) {
      compared(function (c) { c.classList.toggle("errors", value === "errors"); });
      root.querySelectorAll(".map-note").forEach(function (n) { n.hidden = value !== "errors"; });
    });
  });
  compared(function (c) {
    var input = c.querySelector("input");
    function move() {
      c.style.setProperty("--at", input.value + "%");
      input.setAttribute("aria-valuetext", input.value + " % source");
    }
    input.addEventListener("input", move);
    move();
  });
}

document.querySelectorAll("[data-training]").forEach(training);
document.querySelectorAll("[data-rates]").forEach(rates);
document.querySelectorAll("[data-frames]").forEach(frames);
document.documentElement.dataset.ready = "true";
})();
]==]
