"use strict";
(() => {
  const COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195"];
  const DARK = ["#4aa8e0", "#ff8a4c", "#3fc79a", "#e3a1c4", "#f0b840", "#8fd0f5", "#b58ac9"];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const tone = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // The values of an array along dimension `free` (or the one value), the others held at `at`.
  const slice = (array, at, free) => {
    const strides = array.shape.map((_, k) => array.shape.slice(k + 1).reduce((a, b) => a * b, 1));
    let offset = 0;
    array.dims.forEach((d, k) => { if (d !== free) offset += (at[d] ?? 0) * strides[k]; });
    const k = array.dims.indexOf(free);
    if (k < 0) return array.values[offset];
    return Array.from({ length: array.shape[k] }, (_, i) => array.values[offset + i * strides[k]]);
  };

  // Every choice of indices that the controls leave open.
  const choices = (open) => open.reduce(
    (sofar, [dim, indices]) => sofar.flatMap((at) => indices.map((i) => ({ ...at, [dim]: i }))),
    [{}]);

  const explore = (box) => {
    const data = JSON.parse(box.querySelector("script").textContent);
    const form = box.querySelector("form"), plot = box.querySelector(".plot");
    const swept = Object.fromEntries(data.axes.map((a) => [a.name, a]));
    const quantity = () => data.quantities[+form.elements.quantity.value];
    const dimension = (dim) => form.elements[`dim:${dim}`];
    const labels = (dim) => (swept[dim] ? swept[dim].labels : data.inner[dim]);
    const symbol = (dim) => (swept[dim] ? swept[dim].label : dim);

    const control = (text, node) => {
      const label = document.createElement("label");
      label.append(text, node);
      if (node.type === "checkbox") { label.className = "tick"; label.prepend(node); }
      form.append(label);
      return label;
    };
    const select = (name, text, options, value) => {
      const node = document.createElement("select");
      node.name = name;
      options.forEach(([v, t]) => node.add(new Option(t, v)));
      node.value = value;
      return control(text, node);
    };
    const tick = (name, text) => {
      const node = document.createElement("input");
      Object.assign(node, { type: "checkbox", name });
      return control(text, node);
    };

    const along = (q) => [
      ...Object.keys(data.along).filter((n) => data.along[n].dims.every((d) =>
        q.dims.includes(d) || swept[d]) && data.along[n].dims.some((d) => q.dims.includes(d) && !swept[d])),
      ...data.axes.filter((a) => a.values && a.labels.length > 1 && q.dims.includes(a.name))
        .map((a) => a.name)];
    const records = (q) => ["step", "time"].some((d) => q.dims.includes(d));
    const record = (x) => (swept[x] ? x : data.along[x].dims.find((d) => !swept[d]));

    const build = () => {
      select("quantity", "Quantity", data.quantities.map((q, k) => [k, q.name]), 0);
      data.axes.forEach((a) => { if (a.labels.length > 1) select(`dim:${a.name}`, a.words,
        [["all", "all"], ...a.labels.map((t, k) => [k, t])], a.start); });
      Object.entries(data.inner).forEach(([dim, names]) => { if (names.length > 1) select(`dim:${dim}`, dim,
        [["all", "all"], ...names.map((t, k) => [k, t])], dim === "mode" ? 0 : "all"); });
      select("x", "Against", [], "");
      Object.entries(data.along).forEach(([n, a]) => { if (n === "step" || a.dims.includes("time"))
        select("moment", n, a.values.map((v, k) => [k, v]), a.values.length - 1); });
      tick("logx", "log x");
      tick("logy", "log y");
    };

    // Called when another quantity is chosen: what it lies along, and whether by powers of ten.
    const fit = (fresh) => {
      const q = quantity(), x = form.elements.x, options = along(q), before = x.value;
      x.replaceChildren(...options.map((n) => new Option(swept[n] ? swept[n].words : n, n)));
      const many = data.axes.find((a) => a.labels.length > 24 && options.includes(a.name));
      x.value = options.includes(before) ? before : many ? many.name : options[0];
      if (!before) form.elements.logx.checked = x.value === "step" && slice(data.along.step, {}, "step").at(-1) > 1000;
      if (fresh) form.elements.logy.checked = q.log;
      if (form.elements.moment) {
        form.elements.moment.closest("label").hidden = !swept[x.value] || !records(q) || form.elements.moment.length < 2;
        if (fresh) form.elements.moment.value = q.at;
      }
      [...data.axes.map((a) => a.name), ...Object.keys(data.inner)].forEach((dim) => {
        const node = dimension(dim);
        if (node) node.closest("label").hidden = !q.dims.includes(dim) || dim === record(x.value);
      });
    };

    const open = (array, x) => array.dims.filter((d) => d !== record(x)).map((d) => {
      const size = array.shape[array.dims.indexOf(d)];
      if (d === "step" || d === "time") return [d, [+(form.elements.moment?.value ?? size - 1)]];
      const chosen = dimension(d)?.value ?? "all";
      return [d, chosen === "all" ? [...Array(size).keys()] : [+chosen]];
    });

    const abscissa = (x, at) => (swept[x] ? swept[x].values : slice(data.along[x], at, record(x)));

    const curve = (array, x, at) => {
      const xs = abscissa(x, at), ys = slice(array, at, record(x));
      return Array.isArray(ys) ? [xs, ys] : [[xs.at(0), xs.find((v) => v > 0), xs.at(-1)], [ys, ys, ys]];
    };

    const title = (at, among) => among.map((d) => `${symbol(d)} ${swept[d] ? "= " : ""}${labels(d)[at[d]]}`).join(", ");

    const traces = (q, x) => {
      const found = [], palette = dark.matches ? DARK : COLORS, ranges = open(q, x);
      const several = ranges.filter(([d, r]) => r.length > 1 && labels(d)).map(([d]) => d);
      const first = several.includes("pathway") ? "pathway" : several.findLast((d) => !swept[d]) ?? several[0];
      const rest = several.filter((d) => d !== first);
      choices(ranges).forEach((at) => {
        const [xs, ys] = curve(q, x, at);
        const shade = rest.length ? rest.reduce((a, d) => a * (1 - 0.75 * at[d] / labels(d).length), 1) : 1;
        found.push({ x: xs, y: ys, mode: "lines", name: title(at, several) || q.name, opacity: shade,
          line: { color: palette[(at[first] ?? 0) % palette.length], width: 2 }, connectgaps: false });
      });
      const strokes = ["dash", "dashdot", "longdash", "longdashdot"];
      q.theory.forEach((t, k) => [[t, strokes[k % 4]], [t.stretched, "dot"]].forEach(([array, dash]) => {
        // A prediction that names no mode speaks of the first.
        const silent = q.dims.filter((d) => data.inner[d] && !array.dims.includes(d));
        if (silent.some((d) => +(dimension(d)?.value ?? 0) > 0)) return;
        let named = false;
        choices(open(array, x)).forEach((at) => {
          const swept_ = Object.fromEntries(ranges.filter(([, r]) => r.length === 1).map(([d, r]) => [d, r[0]]));
          const [xs, ys] = curve(array, x, { ...swept_, ...at });
          if (ys.every((v) => v === null)) return;
          found.push({ x: xs, y: ys, mode: "lines", legendgroup: t.name + dash, showlegend: !named,
            name: `${t.name} (${dash === "dot" ? "stretched" : "theory"})`,
            line: { color: tone("--ink"), width: 1.4, dash } });
          named = true;
        });
      }));
      return found;
    };

    // By powers of ten where there are two or more of them; plotly then leaves out the 2s and 5s.
    const decades = (lines, key) => {
      const all = lines.flatMap((t) => t[key]).filter((v) => v > 0);
      return Math.log10(all.reduce((a, b) => Math.max(a, b), 0) / all.reduce((a, b) => Math.min(a, b), Infinity));
    };
    const axis = (title_, log, span) => ({
      ...(log && span > 2 ? { dtick: Math.ceil(span / 8) } : {}), title: { text: title_, standoff: 8 }, type: log ? "log" : "linear",
      gridcolor: tone("--grid"), linecolor: tone("--line"), zeroline: false, automargin: true,
      exponentformat: "power", nticks: 7, showline: true, ticks: "outside", tickcolor: tone("--line") });

    const draw = () => {
      const q = quantity(), x = form.elements.x.value, lines = traces(q, x);
      const name = swept[x] ? `${swept[x].words} ${swept[x].label}` : x === "time" ? "time (η × step)" : x;
      const narrow = plot.clientWidth < 500;
      Plotly.react(plot, lines, {
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
        font: { family: getComputedStyle(form).fontFamily, size: 12, color: tone("--ink") },
        margin: { l: 56, r: 16, t: 34, b: 48 }, hovermode: "closest",
        hoverlabel: { bgcolor: tone("--card"), bordercolor: tone("--line"), font: { color: tone("--ink") } },
        showlegend: lines.length > 1 && lines.length < (narrow ? 9 : 17),
        legend: { orientation: "h", y: -0.2, yanchor: "top", x: 0, font: { size: 11 } },
        modebar: { bgcolor: "rgba(0,0,0,0)", color: tone("--soft"), activecolor: tone("--ink") },
        uirevision: form.elements.quantity.value + x,
        xaxis: axis(name, form.elements.logx.checked, decades(lines, "x")),
        yaxis: axis(q.label === q.name ? q.name : `${q.name}  ${q.label}`, form.elements.logy.checked, decades(lines, "y")),
      }, { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
        toImageButtonOptions: { format: "svg", filename: box.dataset.figure } });
    };

    build();
    fit(true);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", (event) => {
      const name = event.target.name;
      if (name === "quantity" || name === "x") fit(name === "quantity");
      draw();
    });
    dark.addEventListener("change", draw);
    draw();
  };

  const boxes = [...document.querySelectorAll(".interactive")].filter((box) =>
    JSON.parse(box.querySelector("script").textContent).quantities.length > 0);
  const seen = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (!entry.isIntersecting) return;
    seen.unobserve(entry.target);
    explore(entry.target);
  }), { rootMargin: "800px" });
  boxes.forEach((box) => { box.hidden = false; seen.observe(box); });

  document.querySelectorAll("button.copy").forEach((button) => {
    if (!navigator.clipboard) return;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  });
})();
