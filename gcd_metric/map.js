// The maps of errors: one class of distances at a time, and lines to the predictions.
// `Plotly` is that of gradio. Each point of a map carries its prediction, and the last trace of the
// map is for lines.

window.errorMaps = (() => {
  const MOST_LINES = 100, STEPS = 96, DEGREES = 180 / Math.PI
  const vector = (longitude, latitude) => [
    Math.cos(latitude) * Math.cos(longitude),
    Math.cos(latitude) * Math.sin(longitude),
    Math.sin(latitude)
  ]

  // The shortest path as longitudes and latitudes, with a gap where it leaves the map.
  const path = (from, to) => {
    const a = vector(...from.map(it => it / DEGREES)), b = vector(...to.map(it => it / DEGREES))
    const angle = Math.acos(Math.min(1, Math.max(-1, a.reduce((sum, it, at) => sum + it * b[at], 0))))
    const points = [from]
    for (let step = 1; step < STEPS && angle > 1e-6; step++) {
      const [s, t] = [Math.sin(angle * (1 - step / STEPS)), Math.sin(angle * step / STEPS)]
      const [x, y, z] = a.map((it, at) => s * it + t * b[at])
      points.push([Math.atan2(y, x) * DEGREES, Math.atan2(z, Math.hypot(x, y)) * DEGREES])
    }
    points.push(to)
    return points.flatMap((point, at) => {
      const leaves = at && Math.abs(point[0] - points[at - 1][0]) > 180
      return leaves ? [[null, null], point] : [point]
    })
  }

  const plotOf = number => document.querySelector(`#map-${number} .js-plotly-plot`)
  const ends = (trace, at) => [[trace.x[at], trace.y[at]], [...trace.customdata[at]].reverse()]

  const draw = (plot, pairs, colour) => {
    const lines = pairs.flatMap(([from, to]) => [...path(from, to), [null, null]])
    const [x, y] = [0, 1].map(axis => lines.map(point => point[axis]))
    window.Plotly.restyle(plot, {x: [x], y: [y], 'line.color': colour}, [plot.data.length - 1])
  }

  // Shows all points, or those of one class with lines to the predictions of the worst of them.
  const show = (number, name) => {
    const plot = plotOf(number)
    if (!plot) return
    const classes = plot._fullData.filter(trace => trace.mode === 'markers')
    const visible = classes.map(trace => !name || trace.name === name)
    window.Plotly.restyle(plot, {visible}, classes.map(trace => trace.index))
    const one = classes.find(trace => trace.name === name)
    const rows = one ? [...one.x.keys()].slice(-MOST_LINES) : []
    draw(plot, rows.map(at => ends(one, at)), one?.marker.color)
  }

  // A point that is pressed gets its line.
  document.addEventListener('pointerover', event => {
    const plot = event.target.closest?.('.map .js-plotly-plot')
    if (!plot || plot.dataset.listens) return
    plot.dataset.listens = 'yes'
    plot.on('plotly_click', ({points: [point]}) => {
      const trace = point.fullData
      if (trace.mode === 'markers') draw(plot, [ends(trace, point.pointNumber)], trace.marker.color)
    })
  }, true)

  return {show}
})()
