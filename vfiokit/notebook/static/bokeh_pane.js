// The page's side of BokehPane (vfiokit/notebook/bokeh_pane.py): shows the document of the snapshot "item",
// then applies the numbered patches that follow it. One closure a widget model, any number of views of it.

const ASK_AGAIN = 3000 // ms without BokehJS after which some pane of the page asks its kernel again
const MY_TURN = 7000 //   … after which the same pane does: its kernel may be gone, another's not
const SAY_SO = 6000 //    … after which the reader is told

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

function whole(bokeh, modules) {
  try {
    for (const name of modules) bokeh.require(name)
    return true
  } catch {
    return false
  }
}

// BokehJS keeps each version that was loaded under its number.
function usable(item) {
  const bokeh = window.Bokeh?.[item.version]
  return bokeh && whole(bokeh, item.modules) ? bokeh : null
}

function evaluate(source) {
  const script = document.createElement("script")
  script.textContent = source
  document.head.append(script)
  script.remove()
}

// When some pane of this page last asked for a version: all panes of the page share it.
const asked = (window.vfiokitAsked ??= new Map())

async function bokehjs(model, item, signal, say) {
  const begun = Date.now()
  let mine = -Infinity
  for (;;) {
    if (signal.aborted) return null
    const found = usable(item)
    if (found) return found
    const now = Date.now()
    if (now - (asked.get(item.version) ?? -Infinity) > ASK_AGAIN && now - mine > MY_TURN) {
      asked.set(item.version, now)
      mine = now
      send(model, { want: "bokehjs" })
    }
    if (now - begun > SAY_SO) {
      const other = window.Bokeh
      if (other && whole(other, item.modules)) {
        say(`This page has BokehJS ${other.version}, the kernel bokeh ${item.version}: ` +
          "the picture may be wrong. Run the cell again with a running kernel.")
        return other
      }
      say("This picture waits for BokehJS from the kernel. If no kernel is running, start one and run the " +
        "cells again; in a saved page, run %load_ext vfiokit in a cell before saving it.")
    }
    await pause(100)
  }
}

class View {
  constructor(model, el) {
    this.model = model
    this.stopped = new AbortController()
    this.seq = -1 // number of the last patch that is in the document
    this.askedAt = 0
    this.words = document.createElement("p")
    this.words.setAttribute("role", "status")
    this.words.hidden = true
    this.host = document.createElement("div")
    el.classList.add("vfiokit-pane")
    el.append(this.words, this.host)
    this.begin()
  }

  say(text) {
    this.words.textContent = text
    this.words.hidden = !text
  }

  async begin() {
    const item = JSON.parse(this.model.get("item"))
    this.bokeh = await bokehjs(this.model, item, this.stopped.signal, (text) => this.say(text))
    if (!this.bokeh) return
    if (this.bokeh.version === item.version) this.say("")
    await this.build()
    // What was sent before this view could listen is not known here.
    this.catchUp()
  }

  async build() {
    const item = JSON.parse(this.model.get("item"))
    const { Document } = this.bokeh.require("document")
    const { add_document_standalone } = this.bokeh.require("embed/standalone")
    this.forget()
    this.host.replaceChildren()
    this.doc = Document.from_json(item.doc)
    this.seq = item.seq
    const place = document.createElement("div")
    this.host.append(place)
    this.listen(item.moment)
    await add_document_standalone(this.doc, place, { [item.root]: place })
  }

  listen(name) {
    const moment = this.doc.get_model_by_name(name)
    moment?.properties.data.change.connect(() => {
      if (this.applying) return // the kernel has set it: no echo
      const { seq, x } = moment.data
      send(this.model, { moment: seq[0] ?? null, x: x[0] ?? null })
    })
  }

  // A new snapshot: of use only where patches are missing.
  renew() {
    if (this.doc && JSON.parse(this.model.get("item")).seq > this.seq) this.build()
  }

  catchUp() {
    const now = Date.now()
    if (now - this.askedAt < 1000) return
    this.askedAt = now
    send(this.model, { want: "snapshot", at: this.seq })
  }

  patch(content, buffers) {
    if (!this.doc || content.seq <= this.seq) return
    if (content.seq > this.seq + 1) return this.catchUp()
    const parts = new Map(content.ids.map((id, i) => [id, detached(buffers[i])]))
    this.applying = true
    try {
      this.doc.apply_json_patch(JSON.parse(content.patch), parts)
      this.seq = content.seq
    } finally {
      this.applying = false
    }
  }

  close() {
    this.stopped.abort()
    this.forget()
  }

  forget() {
    if (!this.doc) return
    this.doc.clear()
    const at = this.bokeh.documents.indexOf(this.doc) // BokehJS keeps every one, empty or not
    if (at >= 0) this.bokeh.documents.splice(at, 1)
    this.doc = null
  }
}

// BokehJS wants ArrayBuffers; Jupyter gives views of the whole message.
function detached(view) {
  return view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength)
}

export default () => {
  const views = new Set()

  return {
    initialize({ model }) {
      model.on("msg:custom", (content, buffers) => {
        if (content.kind === "bokehjs") {
          const modules = JSON.parse(model.get("item")).modules
          if (!usable({ version: content.version, modules })) {
            evaluate(new TextDecoder().decode(buffers[0]))
          }
        } else if (content.kind === "patch") {
          answer(model, content.seq) // whatever becomes of it: the kernel shall not wait
          for (const view of views) view.patch(content, buffers)
        }
      })
      model.on("change:item", () => {
        for (const view of views) view.renew()
      })
    },
    render({ model, el }) {
      const view = new View(model, el)
      views.add(view)
      return () => {
        views.delete(view)
        view.close()
      }
    },
  }
}
