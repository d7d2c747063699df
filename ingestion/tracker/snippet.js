(function () {
  var weft = (window.weft = window.weft || []);
  if (weft.load) return;
  "load track page identify group alias reset consent optOut optIn".split(" ").forEach(function (name) {
    weft[name] = function () { weft.push([name].concat([].slice.call(arguments))); };
  });
  var script = document.createElement("script");
  script.async = true;
  script.src = "COLLECTOR/weft.js";
  document.head.appendChild(script);
  weft.load("WRITE_KEY", SETTINGS);
  weft.page();
})();
