// The moments: values of the models' properties at each, see vfiokit/reports/moments.py.
"use strict"

vfiokit.Moments = class {
  constructor(about, doc) {
    this.doc = doc
    this.seq = about.seq
    this.x = about.x
    this.words = about.words
    this.keys = about.keys
    this.frames = about.frames // of each moment, and last of the page as it began
    this.values = about.values
    this.chunks = new Map()
    this.shown = this.frames.length - 1
    this.wanted = this.shown
    this.busy = null
    this.made = 0 // models that came whole
  }

  get length() {
    return this.seq.length
  }

  // The last moment at or before an access; the first if all are after it.
  until(seq) {
    let low = 0, high = this.seq.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.seq[middle] <= seq) low = middle + 1
      else high = middle
    }
    return Math.max(0, low - 1)
  }

  // Show a moment, or all there is (-1). While one is drawn, only the newest wish is kept.
  show(number) {
    this.wanted = number < 0 ? this.frames.length - 1 : number
    this.busy ??= this.work().finally(() => { this.busy = null })
    return this.busy
  }

  async work() {
    while (this.wanted !== this.shown) {
      const target = this.wanted
      const events = await this.changes(this.frames[this.shown], this.frames[target])
      if (target !== this.wanted) continue
      if (events.length) this.doc.apply_json_patch({events})
      this.shown = target
      await new Promise((resume) => requestAnimationFrame(resume))
    }
  }

  async changes(from, to) {
    const events = []
    for (let k = 0; k < this.keys.length; k++) {
      const old = from[k], given = to[k]
      if (old === given || (Array.isArray(old) && String(old) === String(given))) continue
      const [id, attr] = this.keys[k]
      if (!this.doc.get_model_by_id(id)) continue // it has given way to another, which comes whole
      events.push({kind: "ModelChanged", model: {id}, attr, new: await this.value(given)})
    }
    return events
  }

  // A value as Bokeh reads it; of a data source, column by column.
  async value(given) {
    if (!Array.isArray(given)) {
      const value = await this.read(given)
      // A model that comes whole is a new one each time: Bokeh takes no id twice.
      return value?.type === "object" && value.id ? {...value, id: `${value.id}-${++this.made}`} : value
    }
    const entries = []
    for (const [name, number] of given) entries.push([name, await this.read(number)])
    return {type: "map", entries}
  }

  async read(number) {
    const [chunk, place] = this.values[number]
    if (!this.chunks.has(chunk)) {
      if (this.chunks.size >= 64) this.chunks.delete(this.chunks.keys().next().value)
      this.chunks.set(chunk, vfiokit.json(`vfiokit-values-${chunk}`))
    }
    return (await this.chunks.get(chunk))[place]
  }
}
