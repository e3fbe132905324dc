// The page: pictures, scrubber and events share one moment, the model that is named so.
"use strict"

// BokehJS is packed like all else: a third of its size.
vfiokit.load = async (name) => {
  const script = document.createElement("script")
  script.textContent = new TextDecoder().decode(await vfiokit.block(name))
  document.head.append(script)
}

vfiokit.open = async () => {
  const find = (id) => document.getElementById(id)
  await vfiokit.load("vfiokit-bokeh")
  const {docs, items} = await vfiokit.json("vfiokit-document")
  const [views, about, events, data] = await Promise.all([
    Bokeh.embed.embed_items(docs, items),
    vfiokit.json("vfiokit-moments"),
    vfiokit.json("vfiokit-events"),
    vfiokit.block("vfiokit-event-data"),
  ])
  const doc = Bokeh.documents.at(-1)
  const link = doc.get_model_by_name("vfiokit-moment")
  const moments = new vfiokit.Moments(about, doc)
  const choose = (seq, x) => { link.data = {seq: [seq], x: [x]} }
  const table = new vfiokit.EventTable(new vfiokit.EventStore(events, data), choose)
  Object.assign(vfiokit, {moments, table, store: table.store, link, views, choose})

  const scrub = find("scrub"), output = find("moment")
  const follow = () => {
    const seq = link.data.seq[0], x = link.data.x[0]
    if (seq === undefined) {
      scrub.value = moments.length - 1
      output.textContent = moments.length ? "all there is; choose a moment here or in a picture" : "no moment is recorded"
      table.light(-1)
      return moments.show(-1).catch(vfiokit.alarm)
    }
    const kept = moments.until(seq)
    scrub.value = kept
    const near = moments.seq[kept] === seq ? "" : ` (pictures: access ${moments.seq[kept].toLocaleString("en")})`
    const states = moments.words[kept] ? ` · ${moments.words[kept]}` : ""
    output.textContent = `access ${seq.toLocaleString("en")}${near} · ${vfiokit.people_ns(x)}${states}`
    output.title = output.textContent
    const event = table.now
    if (event < 0 || table.store.seq[event] !== seq) table.light(table.store.until(seq))
    return moments.show(kept).catch(vfiokit.alarm)
  }
  link.connect(link.properties.data.change, follow)

  const go = (number) => {
    const kept = Math.max(0, Math.min(moments.length - 1, number))
    if (moments.length) choose(moments.seq[kept], moments.x[kept])
  }
  const none = () => { link.data = {seq: [], x: []} }
  const step = (by) => go((link.data.seq.length ? Number(scrub.value) : moments.length - (by < 0 ? 0 : 1)) + by)
  scrub.addEventListener("input", () => go(Number(scrub.value)))
  find("before").addEventListener("click", () => step(-1))
  find("after").addEventListener("click", () => step(1))
  find("all").addEventListener("click", none)
  for (const button of document.querySelectorAll(".go")) {
    button.addEventListener("click", () => {
      const seq = Number(button.dataset.seq)
      choose(seq, moments.x[moments.until(seq)] ?? 0)
    })
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return
    const typing = event.target.closest?.("input:not([type=range]), select, textarea")
    if (event.key === "/" && !typing) {
      event.preventDefault()
      find("search").focus()
    } else if (event.key === "Escape") {
      if (typing) event.target.blur()
      else none()
    } else if (!typing && event.target !== scrub && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
      event.preventDefault()
      step(event.key === "ArrowLeft" ? -1 : 1)
    }
  })
  find("download")?.addEventListener("click", (event) => {
    const archive = new Blob([vfiokit.octets(find("vfiokit-recording").textContent)], {type: "application/zip"})
    const place = URL.createObjectURL(archive)
    Object.assign(document.createElement("a"), {href: place, download: event.target.dataset.name}).click()
    URL.revokeObjectURL(place)
  })

  const links = new Map([...document.querySelectorAll("nav a")].map((a) => [a.hash.slice(1), a]))
  const seen = new IntersectionObserver((entries) => {
    for (const {target, isIntersecting} of entries) links.get(target.id)?.classList.toggle("here", isIntersecting)
  }, {rootMargin: "-20% 0px -79% 0px"})
  for (const section of document.querySelectorAll("section")) seen.observe(section)
  follow()
  document.documentElement.dataset.ready = String(Math.round(performance.now()))
}

vfiokit.alarm = (error) => {
  console.error(error)
  const alarm = document.getElementById("alarm")
  alarm.textContent = `The pictures could not be drawn: ${error}`
  alarm.hidden = false
}

vfiokit.open().catch(vfiokit.alarm)
