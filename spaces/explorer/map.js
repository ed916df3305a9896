// The page's map, on a canvas: the world (world.js), or the zoom grid over aerial views; dots, marks
// and arcs. It takes mouse, touch and keyboard, and asks only the page's server, for what is visible.
// worldmap.py makes the scene.

window.explorerMaps = {};

window.explorerMap = (element, props, trigger, server, watch, id) => {
  const canvas = element.querySelector("canvas");
  const remark = element.querySelector(".map-remark");
  const pen = canvas.getContext("2d");
  const views = new Map(); // by prefix: a picture, or null while it is fetched
  const MOST_VIEWS = 200, REACH = 14, TAP = 6, DOUBLE = 350; // pixels, and milliseconds
  const calm = matchMedia("(prefers-reduced-motion: reduce)"), coarse = matchMedia("(pointer: coarse)");
  const world = window.explorerPaintWorld(pen);
  let scene = props.value, dots = [], width = 0, height = 0, at = null, drawing = 0, asking = 0;
  let asked = "", byKeyboard = false, pending = 0, taken = [];

  // --- projection: x = (longitude - at.longitude) · scale · squeeze, y without squeeze ------------

  const whole = () => {
    const [west, east, south, north] = scene.extent;
    return Math.min(width / ((east - west) * scene.squeeze), height / (north - south));
  };
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const hold = () => {
    const [west, east, south, north] = scene.extent;
    const least = whole();
    at.scale = clamp(at.scale, least, least * scene.deepest);
    const across = width / at.scale / scene.squeeze / 2, down = height / at.scale / 2;
    const middle = (low, high) => (low + high) / 2;
    at.longitude = across * 2 >= east - west ? middle(west, east)
      : clamp(at.longitude, west + across, east - across);
    at.latitude = down * 2 >= north - south ? middle(south, north)
      : clamp(at.latitude, south + down, north - down);
    // One finger scrolls the page as long as the whole map is visible.
    canvas.style.touchAction = at.scale > least * 1.01 ? "none" : "pan-y";
  };
  const place = (latitude, longitude) => [
    width / 2 + (longitude - at.longitude) * at.scale * scene.squeeze,
    height / 2 - (latitude - at.latitude) * at.scale,
  ];
  const under = (x, y) => [
    at.latitude - (y - height / 2) / at.scale,
    at.longitude + (x - width / 2) / at.scale / scene.squeeze,
  ];
  const sight = () => {
    const [north, west] = under(0, 0), [south, east] = under(width, height);
    return [west, east, south, north];
  };
  const fit = (box) => {
    const [west, east, south, north] = box || scene.extent;
    const whole = String(box || scene.extent) === String(scene.extent);
    const below = whole ? 0 : 60; // room for the buttons, so that they cover no mark
    const scale = Math.min(width / Math.max((east - west) * scene.squeeze, 1e-9),
                           (height - below) / Math.max(north - south, 1e-9));
    at = { latitude: (south + north) / 2 - below / 2 / scale, longitude: (west + east) / 2, scale };
    hold();
  };

  // --- drawing ------------------------------------------------------------------------------------

  const draw = () => {
    if (!drawing) drawing = requestAnimationFrame(() => { drawing = 0; if (at) paint(); });
  };
  const paint = () => {
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    const style = getComputedStyle(element);
    const ink = style.getPropertyValue("--body-text-color") || "#222";
    pen.fillStyle = style.getPropertyValue("--background-fill-secondary") || "#f4f7fa";
    pen.fillRect(0, 0, width, height);
    pen.lineJoin = pen.lineCap = "round";
    taken = [[width - 156, height - 60, width, height], ...scene.marks.map(box)]; // the buttons, and the marks
    const labels = scene.marks.map(labelSpot); // before names of places, which they displace
    if (scene.grid) { paintViews(); paintGrid(ink); } else world.paint(at, width, height, ratio, taken);
    for (const dot of dots) paintDot(dot);
    for (const arc of scene.arcs) paintArc(arc);
    for (const mark of scene.marks) paintMark(mark);
    for (const spot of labels) if (spot) label(...spot);
    if (byKeyboard && document.activeElement === canvas) paintCross();
    paintScale();
  };
  const line = (points) => {
    pen.beginPath();
    for (const [longitude, latitude] of points) pen.lineTo(...place(latitude, longitude));
    pen.stroke();
  };
  const outlined = (styles, points) => { // pixels; a wide line below a narrow one
    for (const [colour, thick] of styles) {
      pen.strokeStyle = colour;
      pen.lineWidth = thick;
      pen.beginPath();
      for (const point of points) pen.lineTo(...point);
      pen.stroke();
    }
  };
  // A point of the grid's square, u to the east and v to the south, each 0 to 1.
  const inGrid = (u, v) => [0, 1].map((axis) => {
    const [sw, se, ne, nw] = scene.grid.corners.map((corner) => corner[axis]);
    return (nw * (1 - u) + ne * u) * (1 - v) + (sw * (1 - u) + se * u) * v;
  });
  const side = () => width && (scene.grid.corners[1][0] - scene.grid.corners[0][0])
    * at.scale * scene.squeeze;
  const paintGrid = (ink) => {
    for (const [cells, alpha, thick] of [[256, 0.55, 1], [64, 0.6, 1], [16, 0.75, 1], [4, 1, 2]]) {
      if (side() / cells < 26) continue;
      const bare = scene.grid.depth < 0; // no imagery from which the lines must stand out
      for (const [colour, more] of bare ? [[ink, 0]] : [["#000000", 1.5], ["#ffffff", 0]]) {
        pen.strokeStyle = colour;
        pen.globalAlpha = alpha * (more || bare ? 0.35 : 1);
        pen.lineWidth = thick + more;
        for (let i = 0; i <= cells; i++) {
          line([inGrid(i / cells, 0), inGrid(i / cells, 1)]);
          line([inGrid(0, i / cells), inGrid(1, i / cells)]);
        }
      }
    }
    pen.globalAlpha = 1;
  };
  const paintViews = () => {
    if (scene.grid.depth < 0) return;
    const [west, east, south, north] = sight();
    for (let depth = 0; depth <= scene.grid.depth; depth++) {
      const cells = 4 ** depth;
      if (depth && side() / cells < 200) break; // the level above is fine enough
      for (let row = 0; row < cells; row++) for (let column = 0; column < cells; column++) {
        const [left, top] = inGrid(column / cells, row / cells);
        const [right, bottom] = inGrid((column + 1) / cells, (row + 1) / cells);
        if (right < west || left > east || bottom > north || top < south) continue;
        const prefix = [];
        for (let step = depth - 1; step >= 0; step--)
          prefix.push(((row >> (2 * step)) & 3) * 4 + ((column >> (2 * step)) & 3));
        const picture = view(prefix);
        if (!picture) continue;
        const [x, y] = place(top, left), [x2, y2] = place(bottom, right);
        pen.drawImage(picture, x, y, x2 - x + 0.5, y2 - y + 0.5);
      }
    }
  };
  const view = (prefix) => {
    const key = prefix.join("-");
    if (!views.has(key) && pending < 6) {
      if (views.size >= MOST_VIEWS) views.delete(views.keys().next().value);
      views.set(key, null);
      pending++;
      server.view(prefix).then((data) => {
        pending--;
        if (!data) return draw();
        const picture = new Image();
        picture.onload = () => { views.set(key, picture); draw(); };
        picture.src = data;
      }).catch(() => { pending--; });
    }
    return views.get(key);
  };
  const paintDot = ([, latitude, longitude, count]) => {
    const [x, y] = place(latitude, longitude);
    pen.beginPath();
    pen.arc(x, y, count > 1 ? clamp(3.5 + Math.log10(count) * 1.8, 4, 9) : 3.5, 0, 7);
    pen.fillStyle = "#1f83d8";
    pen.globalAlpha = 0.85;
    pen.fill();
    pen.globalAlpha = 1;
    pen.strokeStyle = "#ffffff";
    pen.lineWidth = 1;
    pen.stroke();
  };
  const paintArc = (points) => {
    // An arc that leaves the map on one side continues on the other.
    for (const shift of scene.grid ? [0] : [0, -360, 360]) {
      const moved = points.map(([longitude, latitude]) => place(latitude, longitude + shift));
      outlined([["#ffffff", 4], ["#b1307a", 2]], moved);
    }
  };
  const paintMark = (mark) => {
    const [x, y] = place(mark.latitude, mark.longitude);
    pen.lineWidth = 2;
    pen.beginPath();
    if (mark.kind === "guess") { // a pin whose point is the place
      pen.moveTo(x, y);
      pen.bezierCurveTo(x - 4, y - 8, x - 9, y - 11, x - 9, y - 17);
      pen.arc(x, y - 17, 9, Math.PI, 0);
      pen.bezierCurveTo(x + 9, y - 11, x + 4, y - 8, x, y);
      pen.fillStyle = "#dd7a00";
    } else if (mark.kind === "truth") { // a diamond
      pen.moveTo(x, y - 9); pen.lineTo(x + 9, y); pen.lineTo(x, y + 9); pen.lineTo(x - 9, y);
      pen.fillStyle = "#1f83d8";
    } else if (mark.kind === "rival") {
      pen.rect(x - 7, y - 7, 14, 14);
      pen.fillStyle = "#8738ff";
    } else { // the chosen photo: a ring
      pen.arc(x, y, 9, 0, 7);
      pen.fillStyle = "rgba(221,122,0,.25)";
    }
    pen.closePath();
    pen.fill();
    pen.strokeStyle = "#ffffff";
    pen.lineWidth = 4;
    if (mark.kind === "chosen") pen.stroke();
    pen.strokeStyle = mark.kind === "chosen" ? "#dd7a00" : "#ffffff";
    pen.lineWidth = mark.kind === "chosen" ? 2.5 : 1.5;
    pen.stroke();
    if (mark.kind === "guess") {
      pen.beginPath(); pen.arc(x, y - 17, 3, 0, 7); pen.fillStyle = "#ffffff"; pen.fill();
    }
  };
  const box = (mark) => { // left, top, right and bottom of a mark
    const [x, y] = place(mark.latitude, mark.longitude);
    return mark.kind === "guess" ? [x - 10, y - 27, x + 10, y + 2] : [x - 10, y - 10, x + 10, y + 10];
  };
  const LABEL = "600 13px system-ui, sans-serif";
  // Where a mark's label is in the frame and covers no mark and no other label, or nearly so.
  const labelSpot = (mark) => {
    if (!mark.label) return null;
    pen.font = LABEL;
    const long = pen.measureText(mark.label).width + 8, [left, top, right, bottom] = box(mark);
    if (right < 0 || left > width || bottom < 0 || top > height) return null;
    const middle = (left + right - long) / 2, centre = (top + bottom) / 2 - 10;
    const spots = [[right + 2, centre], [left - 2 - long, centre], [middle, top - 22], [middle, bottom + 2],
      [right + 2, top - 14], [right + 2, bottom - 6], [left - 2 - long, top - 14], [left - 2 - long, bottom - 6]]
      .map(([x, y]) => [clamp(x, 0, width - long), clamp(y, 0, height - 20)])
      .map(([x, y]) => [x, y, x + long, y + 20]);
    const best = spots.find((spot) => world.free(spot, taken)) || spots[0];
    taken.push(best);
    return [mark.label, best[0] + 4, best[1] + 10];
  };
  const label = (text, left, y) => {
    pen.font = LABEL;
    pen.fillStyle = "rgba(20,20,24,.8)";
    pen.fillRect(left - 4, y - 10, pen.measureText(text).width + 8, 20);
    pen.fillStyle = "#ffffff";
    pen.textAlign = "left";
    pen.textBaseline = "middle";
    pen.fillText(text, left, y + 1);
  };
  const paintCross = () => {
    const x = width / 2, y = height / 2; // one path, through the middle again
    outlined([["#ffffff", 5], ["#b1307a", 2]],
      [[x - 14, y], [x + 14, y], [x, y], [x, y - 14], [x, y + 14]]);
  };
  const paintScale = () => {
    if (!scene.grid && at.scale < whole() * 1.5) return; // the scale differs over the world
    const metre = at.scale / 111195;
    const along = metre / (scene.grid ? 1 : Math.max(Math.cos(at.latitude * Math.PI / 180), 0.05));
    const wanted = 90 / along, power = 10 ** Math.floor(Math.log10(wanted));
    const metres = [5, 2, 1].map((step) => step * power).find((value) => value <= wanted);
    const long = metres * along, y = height - 12;
    outlined([["#ffffff", 6], ["#202024", 3]], [[12, y], [12 + long, y]]);
    label(metres >= 1000 ? `${metres / 1000} km` : `${metres} m`, 16, y - 16);
  };

  // --- what is visible, from the server -----------------------------------------------------------

  const look = () => {
    if (!at || !width) return;
    clearTimeout(asking);
    asking = setTimeout(() => {
      if (!scene.grid) world.look(sight(), at.scale, server.land, draw);
      if (!scene.dots) return;
      const request = { ...scene.dots, sight: sight() };
      const key = JSON.stringify(request);
      if (key === asked) return;
      asked = key;
      server.dots(request).then((answer) => {
        if (key !== asked) return; // the map has moved on
        dots = answer.dots;
        remark.textContent = answer.remark;
        draw();
      });
    }, 120);
  };
  const resize = () => {
    const [west, east, south, north] = scene.extent;
    const wide = element.clientWidth;
    if (!wide) return;
    const shape = (north - south) / ((east - west) * scene.squeeze);
    // With photo or result, and the buttons, in one screen.
    const most = window.innerWidth < 640 ? window.innerHeight * 0.36 : window.innerHeight - 450;
    const high = Math.round(Math.min(wide * Math.max(shape, 0.62), Math.max(240, most)));
    if (wide === width && high === height) return;
    width = wide;
    height = high;
    canvas.style.height = `${high}px`;
    if (at) hold(); else fit(scene.fit);
    draw();
    look();
  };
  const show = () => {
    const before = scene;
    scene = props.value;
    canvas.setAttribute("aria-label", scene.label);
    if (scene.place !== before.place) { at = null; views.clear(); }
    if (JSON.stringify(scene.dots) !== JSON.stringify(before.dots)) { dots = []; asked = ""; }
    if (!scene.dots) { dots = []; remark.textContent = ""; }
    if (scene.place !== before.place) { width = 0; resize(); }
    if (width && (!at || (scene.fit && String(scene.turn) !== String(before.turn)))) fit(scene.fit);
    if (scene.click === "guess" && !scene.marks.length && !scene.dots)
      remark.textContent = coarse.matches ? "Zoom with two fingers or a double tap. Tap to set your pin."
        : "Zoom with a double click, or with + − and the wheel once you have clicked. Click to set your pin.";
    draw();
    look();
  };

  // --- what the visitor does ----------------------------------------------------------------------

  const choose = (x, y) => {
    if (scene.click === "guess") {
      const fine = scene.grid ? 1e6 : 1e4; // of a degree
      const [latitude, longitude] = under(x, y).map((value) => Math.round(value * fine) / fine);
      const [west, east, south, north] = scene.extent;
      if (latitude < south || latitude > north || longitude < west || longitude > east) return;
      scene.marks = [{ kind: "guess", latitude, longitude, label: "" }];
      remark.textContent = `Your pin is at ${latitude.toFixed(5)}, ${longitude.toFixed(5)}.`;
      draw();
      trigger("select", { latitude, longitude });
    } else if (scene.click === "pick") {
      let best = null, least = REACH;
      for (const dot of dots) {
        const [dx, dy] = place(dot[1], dot[2]);
        const far = Math.hypot(dx - x, dy - y);
        if (far < least) { best = dot; least = far; }
      }
      if (best) trigger("select", { row: best[0] });
    }
  };
  // Movements that go on: a zoom towards a scale, and gliding after a drag.
  let goal = null, glide = null, before = 0, moving = 0;
  const go = () => { if (!moving) { before = performance.now(); moving = requestAnimationFrame(move); } };
  const move = (now) => {
    const passed = clamp(now - before, 1, 50);
    before = now;
    moving = 0;
    if (goal) {
      const left = goal.scale / at.scale, last = Math.abs(Math.log(left)) < 0.01;
      const { x, y } = goal;
      if (last) goal = null;
      zoomNow(last ? left : left ** (1 - Math.exp(-passed / 60)), x, y);
    }
    if (glide) {
      shift(glide[0] * passed, glide[1] * passed);
      glide = glide.map((speed) => speed * Math.exp(-passed / 200));
      if (Math.hypot(...glide) < 0.02) glide = null;
    }
    if (goal || glide) go();
  };
  const settle = () => {
    const { scale, x, y } = goal || { scale: at.scale, x: 0, y: 0 };
    goal = glide = null;
    zoomNow(scale / at.scale, x, y);
  };
  const zoom = (factor, x = width / 2, y = height / 2) => {
    const least = whole(), scale = clamp((goal?.scale ?? at.scale) * factor, least, least * scene.deepest);
    goal = { scale, x, y };
    if (calm.matches) settle(); else go();
  };
  const zoomNow = (factor, x, y) => {
    const [latitude, longitude] = under(x, y);
    at.scale *= factor;
    hold();
    const [x2, y2] = place(latitude, longitude);
    shift(x - x2, y - y2);
  };
  const shift = (dx, dy) => {
    at.longitude -= dx / at.scale / scene.squeeze;
    at.latitude += dy / at.scale;
    hold();
    draw();
    look();
  };

  const fingers = new Map();
  let moved = 0, apart = 0, speed = [0, 0], heard = 0, tapped = null;
  const spot = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.x, event.clientY - box.y];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, spot(event));
    byKeyboard = false;
    settle();
    if (fingers.size === 1) moved = 0;
    apart = 0;
    speed = [0, 0];
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    const [x, y] = spot(event), [x0, y0] = fingers.get(event.pointerId);
    fingers.set(event.pointerId, [x, y]);
    moved += Math.hypot(x - x0, y - y0);
    if (fingers.size === 1) {
      if (moved <= TAP) return;
      const passed = Math.max(event.timeStamp - heard, 1);
      heard = event.timeStamp;
      speed = [(x - x0) / passed, (y - y0) / passed].map((now, i) => now * 0.6 + speed[i] * 0.4);
      shift(x - x0, y - y0);
      return;
    }
    const [[x1, y1], [x2, y2]] = [...fingers.values()];
    const now = Math.hypot(x2 - x1, y2 - y1);
    if (apart) zoomNow(now / apart, (x1 + x2) / 2, (y1 + y2) / 2);
    apart = now;
    moved = TAP + 1;
  });
  const lift = (event) => {
    const was = fingers.delete(event.pointerId);
    apart = 0;
    if (!was || event.type !== "pointerup" || fingers.size) return;
    const [x, y] = spot(event);
    if (moved > TAP) {
      if (event.timeStamp - heard < 60 && !calm.matches) { glide = speed; go(); }
      return;
    }
    const again = tapped && event.timeStamp - tapped[2] < DOUBLE && Math.hypot(x - tapped[0], y - tapped[1]) < 20;
    tapped = again ? null : [x, y, event.timeStamp];
    if (again) zoom(2.5, x, y); else choose(x, y);
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener("wheel", (event) => {
    // The page scrolls over the map unless the map has the focus.
    if (document.activeElement !== canvas && !event.ctrlKey) return;
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 300), ...spot(event));
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? 120 : 24;
    const keys = {
      ArrowLeft: () => nudge(-step, 0), ArrowRight: () => nudge(step, 0),
      ArrowUp: () => nudge(0, -step), ArrowDown: () => nudge(0, step),
      "+": () => zoom(1.6), "=": () => zoom(1.6), "-": () => zoom(1 / 1.6),
      Home: () => { fit(null); draw(); look(); },
      Enter: () => choose(width / 2, height / 2), " ": () => choose(width / 2, height / 2),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    byKeyboard = true;
    settle();
    keys[event.key]();
    const [latitude, longitude] = under(width / 2, height / 2);
    if (event.key !== "Enter" && event.key !== " " && !scene.dots)
      remark.textContent = `The cross is at ${latitude.toFixed(3)}, ${longitude.toFixed(3)}.`;
  });
  // The cross stays in the middle and the map moves under it, so the map must be larger than its frame.
  const nudge = (dx, dy) => {
    if (at.scale <= whole() * 1.05) zoomNow(2, width / 2, height / 2);
    shift(-dx, -dy);
  };
  canvas.addEventListener("focus", () => { byKeyboard = canvas.matches(":focus-visible"); draw(); });
  canvas.addEventListener("blur", draw);
  element.addEventListener("click", (event) => {
    const job = event.target.closest("button")?.dataset.job;
    if (job === "in") zoom(2);
    if (job === "out") zoom(0.5);
    if (job === "whole") { fit(null); draw(); look(); }
  });
  new ResizeObserver(resize).observe(element);
  new MutationObserver(draw).observe(document.body, { attributes: true });
  watch("value", show);
  resize();
  show();
  window.explorerMaps[id] = {
    place, under, dots: () => dots, scene: () => scene, scale: () => at.scale, names: () => world.names(),
  };
};
