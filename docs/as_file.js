// Opened as a file, a page may not read the index of the search: say how to serve the pages.
if (location.protocol === "file:") {
  document.querySelector("[data-md-component=announce]").innerHTML = `
    <p id="as-file">The search needs a server: run <code>python -m http.server -d out/site</code>
    and open <a href="http://localhost:8000">http://localhost:8000</a>.</p>`;
}
