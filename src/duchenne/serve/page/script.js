"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const stage = byId("stage"), photo = byId("photo"), video = byId("video"), boxes = byId("boxes");
  const state = byId("state"), problem = byId("problem"), announce = byId("announce");
  const cameraButton = byId("camera"), fileInput = byId("file"), keyForm = byId("key-form");

  const MINUTE = 60000;
  const FRAME_SIDE = 640; // of a webcam frame as it is sent, pixels of its longer side
  const FRAME_PAUSE = 100; // ms between an answer and the next frame
  const SAY_PAUSE = 5000; // ms between two announcements while the webcam runs
  const UNFOLDED = 3; // faces whose scores are in view; those of further ones unfold
  const DASHES = ["", "7 3", "2 3", "10 3 2 3", "1 2", "12 4", "5 2 1 2", "3 6"];

  let key = ""; // in this variable only
  let card = null; // what /model answers
  let shown = null; // {width, height, faces, mirrored}: what stands on the stage
  let stream = null, live = 0, request = 0, photoUrl = "";
  let history = []; // {time, scores: {label: score}}
  let said = "", saidAt = 0;

  const percent = (score) => `${Math.round(100 * score)}%`;
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));

  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }
  function drawn(name, attributes, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  function complain(text, where = problem) {
    where.textContent = text.charAt(0).toUpperCase() + text.slice(1);
    where.hidden = !text;
  }
  function say(text) {
    announce.textContent = text;
    said = text;
    saidAt = Date.now();
  }

  // ---- asking the server

  async function ask(path, options = {}) {
    const headers = key ? { Authorization: `Bearer ${key}` } : {};
    let response;
    try {
      response = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit" });
    } catch {
      throw new Error("The server does not answer. Is it still running?");
    }
    let body = {};
    try { body = await response.json(); } catch { /* said below */ }
    if (response.ok) return body;
    const error = new Error([body.error || `The server answered ${response.status}.`, body.todo].filter(Boolean).join(" – "));
    error.status = response.status;
    error.after = 1000 * Number(response.headers.get("Retry-After") || 1);
    if (response.status === 401) askForKey();
    throw error;
  }

  async function predict(blob, name) {
    const form = new FormData();
    form.append("images", blob, name);
    const answer = await ask("predict", { method: "POST", body: form });
    const record = answer.records[0];
    if (record.error) throw new Error(record.error);
    return record;
  }

  function askForKey() {
    keyForm.hidden = false;
    byId("key").setAttribute("aria-invalid", key ? "true" : "false");
    key = "";
  }

  async function loadCard() {
    card = await ask("model");
    const rows = [];
    const row = (name, value) => { if (value) rows.push(element("dt", {}, name), element("dd", {}, String(value))); };
    row("Name", card.name);
    row("Answers", card.outputs.map((o) => `${o.name}: ${o.labels.join(", ")}`).join("; "));
    row("Taught on", card.data && card.data.name);
    row("Figures", figures(card.figures));
    row("Finds faces by", { yunet: "YuNet", cascade: "OpenCV's frontal cascade", wholeimage: "nothing: each picture is one face" }[card.faces] || card.faces);
    row("Terms", card.terms || "The model's card states no terms.");
    const mib = (bytes) => `${+(bytes / 1048576).toFixed(1)} MiB`;
    row("Limits", `pictures of up to ${mib(card.limits.image_bytes)} and ${card.limits.pixels / 1e6} million pixels`);
    byId("card").replaceChildren(...rows);
    drawHistory();
  }

  function figures(values, before = "") {
    const parts = [];
    for (const [name, value] of Object.entries(values || {})) {
      if (typeof value === "number") parts.push(`${before}${name} ${+value.toPrecision(4)}`);
      else if (value && typeof value === "object" && !Array.isArray(value)) parts.push(figures(value, `${before}${name} `));
    }
    return parts.filter(Boolean).slice(0, 12).join("; ");
  }

  // ---- the stage: picture or webcam, and boxes over it

  function fill(medium) {
    photo.hidden = medium !== photo;
    video.hidden = medium !== video;
    byId("hint").hidden = true;
    stage.classList.add("filled");
    shown = null;
    drawBoxes();
  }

  function drawBoxes() {
    const medium = video.hidden ? photo : video;
    const width = medium.clientWidth, height = medium.clientHeight, ratio = window.devicePixelRatio || 1;
    boxes.width = Math.round(width * ratio);
    boxes.height = Math.round(height * ratio);
    boxes.style.width = `${width}px`;
    boxes.style.height = `${height}px`;
    if (!shown || !width) return;
    const pen = boxes.getContext("2d");
    pen.scale(ratio, ratio);
    pen.font = "600 14px system-ui, sans-serif";
    pen.textBaseline = "middle";
    const scale = width / shown.width;
    const places = shown.faces.map((face) => {
      const [x, y, w, h] = face.box.map((v) => v * scale);
      return [shown.mirrored ? width - x - w : x, y, w, h];
    });
    for (const [x, y, w, h] of places) {
      pen.lineWidth = 4; pen.strokeStyle = "#000";
      pen.strokeRect(x, y, w, h);
      pen.lineWidth = 2; pen.strokeStyle = "#fff";
      pen.strokeRect(x, y, w, h);
    }
    shown.faces.forEach((face, number) => { // after all boxes, so that none crosses a label
      const [x, y, w, h] = places[number];
      const label = Object.values(face.labels)[0] || "";
      const long = `${number + 1} ${label}`;
      // A narrow box gets its number only, so that labels of a group do not cover their neighbours.
      const text = shown.faces.length > 1 && pen.measureText(long).width > 1.6 * w ? String(number + 1) : long;
      const wide = pen.measureText(text).width + 10;
      const left = Math.max(0, Math.min(x, width - wide)), top = y > 24 ? y - 22 : Math.min(y + h + 2, height - 22);
      pen.fillStyle = "#000";
      pen.fillRect(left, top, wide, 20);
      pen.fillStyle = "#fff";
      pen.fillText(text, left + 5, top + 10.5);
    });
  }

  // ---- faces as bars

  const main = (face) => Object.keys(face.labels)[0] || Object.keys(face.outputs)[0];

  function faceCard(face, number) {
    const name = main(face), best = face.outputs[name][0];
    const head = element("h3", {}, `Face ${number + 1}: ${face.labels[name] || best.label} (${percent(best.score)})`);
    const folded = number >= UNFOLDED;
    const box = element(folded ? "details" : "div", { class: "face" }, folded ? element("summary", {}, head) : head);
    for (const [output, scores] of Object.entries(face.outputs)) {
      const body = element("tbody");
      scores.forEach((s, rank) => {
        const bar = element("div", { class: "fill" });
        bar.style.width = `${100 * s.score}%`;
        const row = element("tr", rank || !face.labels[output] ? {} : { class: "best" },
          element("th", { scope: "row" }, s.label),
          element("td", { "aria-hidden": "true" }, element("div", { class: "track" }, bar)),
          element("td", { class: "number" }, percent(s.score)));
        body.append(row);
      });
      box.append(element("table", {}, element("caption", {}, output), body));
    }
    return box;
  }

  function show(record, width, height, mirrored) {
    shown = { width, height, faces: record.faces, mirrored };
    drawBoxes();
    const cards = record.faces.map(faceCard), before = [...byId("faces").children];
    cards.forEach((one, number) => { if (before[number] && before[number].open) one.open = true; });
    byId("faces").replaceChildren(...cards);
    byId("none").hidden = record.faces.length > 0;
    byId("none").textContent = "No face was found.";
    if (record.faces.length) remember(record.faces[0]);
  }

  function summary(record) {
    if (!record.faces.length) return "No face was found.";
    const heads = record.faces.slice(0, 5).map((face) => {
      const name = main(face), best = face.outputs[name][0];
      return `${face.labels[name] || best.label} ${percent(best.score)}`;
    });
    const count = record.faces.length;
    return `${count} ${count === 1 ? "face" : "faces"}: ${heads.join(", ")}${count > 5 ? ", and more" : ""}.`;
  }

  // ---- one picture

  async function takePicture(blob) {
    stopCamera();
    const mine = ++request;
    complain("");
    if (card && blob.size > card.limits.image_bytes) { complain("The picture is larger than this server takes."); return; }
    state.textContent = "Looking at the picture …";
    byId("faces").replaceChildren();
    URL.revokeObjectURL(photoUrl);
    photoUrl = URL.createObjectURL(blob);
    photo.src = photoUrl;
    photo.alt = "The picture you gave";
    const decoded = photo.decode().then(() => true, () => false);
    const started = performance.now();
    try {
      const record = await predict(blob, "the picture");
      if (mine !== request) return;
      const visible = await decoded;
      if (visible) fill(photo); else clearStage("This browser cannot show the picture; the scores stand beside.");
      show(record, photo.naturalWidth || 1, photo.naturalHeight || 1, false);
      state.textContent = `${summary(record)} ${Math.round(performance.now() - started)} ms.${record.note ? ` Note: ${record.note}.` : ""}`;
      say(summary(record));
    } catch (error) {
      if (mine !== request) return;
      if (await decoded) fill(photo); else clearStage("Drop a picture here, paste one, or choose one.");
      byId("none").hidden = false;
      byId("none").textContent = "No scores: see the message at the picture.";
      state.textContent = "No result.";
      complain(error.message);
    }
  }

  function clearStage(text) {
    photo.hidden = video.hidden = true;
    stage.classList.remove("filled");
    byId("hint").textContent = text;
    byId("hint").hidden = false;
    shown = null;
    drawBoxes();
  }

  // ---- the webcam: one frame at a time, the next one after the answer

  async function startCamera() {
    complain("");
    if (!navigator.mediaDevices || !navigator.mediaDevices.getUserMedia) {
      complain("Browsers give the webcam to https pages and to this machine's own address only.");
      return;
    }
    const mine = ++live;
    let taken;
    try {
      taken = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480, facingMode: "user" }, audio: false });
    } catch (error) {
      complain(error.name === "NotAllowedError" ? "The browser was not allowed to use the webcam." : "No webcam was found, or another program holds it.");
      return;
    }
    if (mine !== live) { taken.getTracks().forEach((track) => track.stop()); return; }
    request++;
    stream = taken;
    stream.getVideoTracks()[0].addEventListener("ended", () => { if (mine === live) { stopCamera(); complain("The webcam was taken away."); } });
    video.srcObject = stream;
    video.classList.add("mirrored");
    await video.play();
    fill(video);
    cameraButton.textContent = "Stop the webcam";
    cameraButton.classList.add("on"); // its words say what it does: a pressed state beside them would say it twice
    byId("faces").replaceChildren();
    state.textContent = "The webcam runs.";
    say("The webcam runs.");
    watch(mine);
  }

  function stopCamera() {
    live++;
    if (!stream) return;
    stream.getTracks().forEach((track) => track.stop());
    stream = null;
    video.srcObject = null;
    clearStage("Drop a picture here, paste one, or choose one.");
    cameraButton.textContent = "Start the webcam";
    cameraButton.classList.remove("on");
    state.textContent = "The webcam is off.";
    say("The webcam is off.");
  }

  async function watch(mine) {
    const frame = document.createElement("canvas");
    while (mine === live) {
      const scale = Math.min(1, FRAME_SIDE / Math.max(video.videoWidth, video.videoHeight, 1));
      frame.width = Math.round(video.videoWidth * scale);
      frame.height = Math.round(video.videoHeight * scale);
      if (!frame.width || document.hidden) { await wait(250); continue; }
      frame.getContext("2d").drawImage(video, 0, 0, frame.width, frame.height);
      const blob = await new Promise((done) => frame.toBlob(done, "image/jpeg", 0.9));
      const started = performance.now();
      try {
        const record = await predict(blob, "the frame");
        if (mine !== live) return;
        complain("");
        show(record, frame.width, frame.height, true);
        state.textContent = `${summary(record)} ${Math.round(performance.now() - started)} ms.`;
        const brief = record.faces.length ? `${record.faces.length} × ${record.faces[0].labels[main(record.faces[0])] || ""}` : "No face was found.";
        if (brief !== said && Date.now() - saidAt > SAY_PAUSE) say(brief);
      } catch (error) {
        if (mine !== live) return;
        if (error.status !== 429) {
          stopCamera();
          complain(error.message);
          return;
        }
        state.textContent = "The server is busy; waiting.";
        await wait(error.after);
      }
      await wait(FRAME_PAUSE);
    }
  }

  // ---- the last minute

  function remember(face) {
    const now = Date.now();
    const scores = Object.fromEntries(face.outputs[main(face)].map((s) => [s.label, s.score]));
    history = history.filter((h) => now - h.time <= MINUTE);
    history.push({ time: now, scores });
    drawHistory();
  }

  function labels() {
    if (card) return (card.outputs.find((o) => o.kind === "single") || card.outputs[0]).labels;
    return history.length ? Object.keys(history[history.length - 1].scores) : [];
  }

  function drawHistory() {
    const now = Date.now(), names = labels();
    const width = Math.max(300, byId("chart").clientWidth || 600), height = 220;
    const left = 44, right = width - 12, top = 10, bottom = height - 26;
    const x = (time) => right - (now - time) / MINUTE * (right - left);
    const y = (score) => bottom - score * (bottom - top);
    const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
    for (const score of [0, 0.5, 1]) {
      svg.append(drawn("line", { x1: left, x2: right, y1: y(score), y2: y(score) }));
      svg.append(drawn("text", { x: left - 6, y: y(score) + 4, "text-anchor": "end" }, percent(score)));
    }
    for (const ago of [60, 40, 20, 0]) {
      const at = x(now - 1000 * ago);
      svg.append(drawn("text", { x: at, y: height - 8, "text-anchor": ago === 60 ? "start" : ago ? "middle" : "end" }, ago ? `${ago} s ago` : "now"));
    }
    names.forEach((name, number) => {
      const points = history.filter((h) => name in h.scores && now - h.time <= MINUTE)
        .map((h) => [x(h.time).toFixed(1), y(h.scores[name]).toFixed(1)]);
      const line = drawn("polyline", { points: points.join(" "), "stroke-dasharray": DASHES[number % 8] });
      line.style.stroke = `var(--c${number % 8})`;
      svg.append(line);
      if (points.length && points.length < 12) for (const [cx, cy] of points) {
        const dot = drawn("circle", { cx, cy, r: 3 });
        dot.style.fill = `var(--c${number % 8})`;
        svg.append(dot);
      }
    });
    byId("chart").replaceChildren(svg);
    drawLegend(names);
    if (byId("history-details").open) drawTable(names, now);
  }

  function drawLegend(names) {
    const legend = byId("legend");
    if (legend.childElementCount === names.length) return;
    legend.replaceChildren(...names.map((name, number) => {
      const line = drawn("line", { x1: 0, x2: 28, y1: 4, y2: 4, "stroke-dasharray": DASHES[number % 8] });
      line.style.stroke = `var(--c${number % 8})`;
      return element("li", {}, drawn("svg", { viewBox: "0 0 28 8" }, line), name);
    }));
  }

  let tableAt = 0;
  function drawTable(names, now, force = false) {
    if (!force && now - tableAt < 5000) return; // a table that changes while it is read is no alternative
    tableAt = now;
    const head = element("tr", {}, element("th", { scope: "col" }, "Seconds ago"), ...names.map((n) => element("th", { scope: "col" }, n)));
    const rows = [];
    for (let from = 0; from < 60; from += 5) {
      const part = history.filter((h) => now - h.time >= 1000 * from && now - h.time < 1000 * (from + 5));
      if (!part.length) continue;
      const mean = (name) => part.reduce((sum, h) => sum + (h.scores[name] || 0), 0) / part.length;
      rows.push(element("tr", {}, element("th", { scope: "row" }, `${from} to ${from + 5}`), ...names.map((n) => element("td", {}, percent(mean(n))))));
    }
    if (!rows.length) rows.push(element("tr", {}, element("td", { colspan: String(names.length + 1) }, "Nothing in the last minute.")));
    byId("history-table").replaceChildren(element("caption", { class: "unseen" }, "Mean scores of the largest face, by 5 seconds"), element("thead", {}, head), element("tbody", {}, ...rows));
  }

  // ---- what the visitor does

  const isPicture = (file) => file && (!file.type || file.type.startsWith("image/"));
  function takeFirst(files) {
    const file = [...files].find(isPicture);
    if (file) takePicture(file);
    else if (files.length) complain("That is not a picture.");
  }

  byId("choose").addEventListener("click", () => fileInput.click());
  fileInput.addEventListener("change", () => { takeFirst(fileInput.files); fileInput.value = ""; });
  cameraButton.addEventListener("click", () => (stream ? stopCamera() : startCamera()));
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData ? event.clipboardData.files : [])];
    if (files.length) { event.preventDefault(); takeFirst(files); }
  });
  document.addEventListener("dragover", (event) => { event.preventDefault(); stage.classList.add("over"); });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) stage.classList.remove("over"); });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    stage.classList.remove("over");
    takeFirst(event.dataTransfer.files);
  });
  keyForm.addEventListener("submit", async (event) => {
    event.preventDefault();
    key = byId("key").value.trim();
    complain("", byId("key-problem"));
    try {
      await loadCard();
      keyForm.hidden = true;
      byId("key").value = "";
      byId("choose").focus();
      say("The key was accepted.");
    } catch (error) { complain(error.message, byId("key-problem")); byId("key").focus(); }
  });
  byId("history-details").addEventListener("toggle", () => { if (byId("history-details").open) drawTable(labels(), Date.now(), true); });
  new ResizeObserver(drawBoxes).observe(stage);
  setInterval(() => { if (history.length) drawHistory(); }, 1000);

  drawHistory();
  if (document.body.dataset.needsKey === "yes") keyForm.hidden = false;
  else loadCard().catch((error) => complain(error.message));
})();
