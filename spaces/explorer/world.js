// Paints the world: land, borders, names of countries and cities. The page brings a coarse outline,
// and the server sends finer ones, and cities, of the part that is visible (atlas.py).

window.explorerPaintWorld = (pen) => {
  const COLOURS = {
    light: { sea: "#d9e8f2", land: "#fbf9f4", line: "#8d8a84", name: "#3b3a38", city: "#55534f", grid: "#00000014" },
    dark: { sea: "#1b2732", land: "#353b42", line: "#7d8894", name: "#e6e9ec", city: "#c6ccd2", grid: "#ffffff12" },
  };
  const drawn = (sheet) => { // its rings as one path a country, in units from its north-western corner
    const [west, , south] = sheet.box;
    const paths = sheet.land.map((rings) => {
      const path = new Path2D();
      for (const ring of rings) {
        let x = 0, y = 0;
        for (let i = 0; i < ring.length; i += 2) {
          x += ring[i]; y += ring[i + 1];
          if (i) path.lineTo(x, -y); else path.moveTo(x, -y);
        }
        path.closePath();
      }
      return path;
    });
    return { ...sheet, paths, west, south };
  };
  const base = window.explorerBase ||= drawn(window.explorerWorld);
  let fine = null, asked = "", names = []; // that were written last

  // Whether a box (left, top, right, bottom) meets none of the others.
  const free = (box, others) => !others.some(
    (other) => box[0] < other[2] && box[2] > other[0] && box[1] < other[3] && box[3] > other[1]);

  const paint = (at, width, height, ratio, taken) => {
    const colours = COLOURS[document.body.classList.contains("dark") ? "dark" : "light"];
    const place = (latitude, longitude) => [
      width / 2 + (longitude - at.longitude) * at.scale, height / 2 - (latitude - at.latitude) * at.scale];
    const land = (sheet) => {
      const [west, east, south, north] = sheet.box;
      const [left, bottom] = place(south, west), [right, top] = place(north, east);
      pen.save();
      pen.beginPath();
      pen.rect(left, top, right - left, bottom - top);
      pen.clip();
      pen.fillStyle = colours.sea;
      pen.fillRect(0, 0, width, height);
      const scale = at.scale * sheet.unit;
      pen.translate(left, bottom);
      pen.scale(scale, scale);
      pen.lineWidth = 0.8 / scale;
      pen.fillStyle = colours.land;
      pen.strokeStyle = colours.line;
      for (const path of sheet.paths) { pen.fill(path, "evenodd"); pen.stroke(path); }
      pen.restore();
    };
    pen.fillStyle = colours.sea;
    pen.fillRect(0, 0, width, height);
    land(base);
    if (fine) land(fine);
    pen.strokeStyle = colours.grid;
    pen.lineWidth = 1;
    pen.beginPath();
    for (let line = -180; line <= 180; line += 30) {
      pen.moveTo(...place(-90, line)); pen.lineTo(...place(90, line));
      if (Math.abs(line) <= 90) { pen.moveTo(...place(line, -180)); pen.lineTo(...place(line, 180)); }
    }
    pen.stroke();

    // Names that have room, large countries and cities first; marks and their labels keep theirs.
    names = [];
    pen.textBaseline = "middle";
    pen.lineJoin = "round";
    pen.strokeStyle = colours.land;
    const write = (text, x, y, colour, halo) => {
      names.push(text);
      pen.lineWidth = halo;
      pen.strokeText(text, x, y);
      pen.fillStyle = colour;
      pen.fillText(text, x, y);
    };
    const visible = ([x, y]) => x > 0 && x < width && y > 0 && y < height;
    pen.font = "600 12px system-ui, sans-serif";
    pen.textAlign = "center";
    for (const [name, latitude, longitude, room] of base.names) {
      const [x, y] = place(latitude, longitude), half = pen.measureText(name).width / 2;
      // A little wider than the land is well; over a country that fills the view, no name helps.
      if (!visible([x, y]) || half * 1.8 > room * at.scale || room * at.scale > 4 * width) continue;
      const box = [x - half - 3, y - 9, x + half + 3, y + 9];
      if (!free(box, taken)) continue;
      taken.push(box);
      write(name, x, y, colours.name, 3);
    }
    if (!fine || at.scale < 6) return;
    pen.font = "12px system-ui, sans-serif";
    for (const [name, latitude, longitude] of fine.cities) {
      const spot = place(latitude, longitude), [x, y] = spot, long = pen.measureText(name).width;
      if (!visible(spot)) continue;
      const right = [x - 4, y - 9, x + long + 10, y + 9], left = [x - long - 10, y - 9, x + 4, y + 9];
      const box = [right, left].find((side) => side[0] >= 0 && side[2] <= width && free(side, taken));
      if (!box) continue;
      taken.push(box);
      pen.beginPath();
      pen.arc(x, y, 2.5, 0, 7);
      pen.fillStyle = colours.city;
      pen.fill();
      pen.textAlign = box === right ? "left" : "right";
      write(name, box === right ? x + 6 : x - 6, y, colours.city, 3);
    }
  };

  // Ask for a finer outline of what is visible and a little around it, unless there is one.
  const look = async (sight, scale, ask, done) => {
    const [west, east, south, north] = sight, step = 1 / scale;
    if (fine && fine.step <= step * 1.2 && fine.step > step / 3 && fine.box[0] <= Math.max(west, -180)
      && fine.box[1] >= Math.min(east, 180) && fine.box[2] <= Math.max(south, -90)
      && fine.box[3] >= Math.min(north, 90)) return;
    if (step > 0.25) { fine = null; return; } // the page's own is fine enough
    const across = (east - west) / 2, down = (north - south) / 2;
    const request = { sight: [west - across, east + across, south - down, north + down], step };
    asked = JSON.stringify(request);
    const key = asked, sheet = await ask(request).catch(() => null);
    if (!sheet || key !== asked) return;
    fine = { ...drawn(sheet), step };
    done();
  };
  return { paint, look, free, names: () => names };
};
