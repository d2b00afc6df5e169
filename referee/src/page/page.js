"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const names = { throughput: ["succeeded", "refused", "unknown"], latency: ["median", "99 %", "slowest"] };
  const show = (value) => value >= 100 ? Math.round(value).toLocaleString("en") : value.toPrecision(3);
  for (const figure of document.querySelectorAll("figure.chart")) {
    const readout = figure.querySelector(".readout");
    const unit = figure.id === "latency" ? " ms" : "/s";
    for (const svg of figure.querySelectorAll("svg")) {
      const cursor = svg.querySelector(".cursor");
      const width = svg.viewBox.baseVal.width;
      const left = Number(svg.dataset.left), plot = width - left - Number(svg.dataset.right);
      let bucket = -1;
      const point = (to) => {
        bucket = Math.max(0, Math.min(data.buckets.length - 1, to));
        const at = Math.min((bucket + 0.5) * data.width, data.seconds);
        const x = left + at / data.seconds * plot;
        cursor.setAttribute("x1", x);
        cursor.setAttribute("x2", x);
        const values = data.buckets[bucket][figure.id === "latency" ? 1 : 0];
        const shown = values ? values.map((value, place) => names[figure.id][place] + " " + show(value) + unit).join(" · ") : "no answers";
        readout.textContent = (bucket * data.width).toFixed(2) + " s: " + shown;
      };
      svg.addEventListener("pointermove", (event) => {
        const box = svg.getBoundingClientRect();
        const at = ((event.clientX - box.left) / box.width * width - left) / plot * data.seconds;
        if (at >= 0) point(Math.floor(at / data.width));
      });
      svg.addEventListener("keydown", (event) => {
        const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (step) { event.preventDefault(); point(bucket + step); }
      });
    }
  }
})();
