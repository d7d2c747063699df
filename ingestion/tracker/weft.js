// Weft's browser tracker. What it does, sends and stores stands in docs/tracker.md. No dependency and no build step: the collector
// serves it without comments and indents, names that begin with an underscore shortened. It must stay under 4,000 bytes then.
(() => {
  let _stub = window.weft || [], // the snippet's: calls from before this script
    _document = document,
    _navigator = navigator,
    _text = JSON.stringify,
    _host = _document.currentScript?.src.replace(/\/[^/]*$/, ""),
    _under_way = "", // events that a request of this page holds
    _queued = {}, // events that cannot be stored
    _person = {},
    _choice = {},
    _held = [], // events from before consent
    _failures = 0,
    _number = 0, // keeps events of one millisecond in order
    _storage,
    _key,
    _options,
    _timer,
    _nothing;

  if (!_stub.map) return; // this script is on the page twice

  // ---- storage: localStorage; where that is refused a first-party cookie, and the queue in memory
  try {
    _storage = localStorage;
    _storage.weft_try = 1;
    delete _storage.weft_try;
  } catch {
    _storage = 0;
  }
  let _load = _name => {
      try {
        return JSON.parse(_storage ? _storage[_name] : decodeURIComponent(_document.cookie.match("\\b" + _name + "=([^;]*)")[1]));
      } catch {} // nothing there, or nothing of ours
    },
    _save = (_name, _value) => {
      try {
        if (!_storage) _document.cookie = _name + "=" + encodeURIComponent(_text(_value)) + ";path=/;samesite=lax;max-age=" + (_value ? 31536e3 : 0);
        else if (_value) _storage[_name] = _text(_value);
        else delete _storage[_name];
        return 1;
      } catch {} // it is full: what is in memory still goes out
    },
    _uuid = () =>
      ([1e7] + -1e3 + -4e3 + -8e3 + -1e11).replace(/[018]/g, _value =>
        (_value ^ crypto.getRandomValues(new Uint8Array(1))[0] & 15 >> _value / 4).toString(16)
      ), // 10000000-1000-4000-8000-100000000000 with digits drawn; crypto.randomUUID wants https

    // ---- what the person allows: true, false, or nothing while it has to be said and was not
    _allowed = () => {
      _choice = _load("weft_choice") || _choice;
      return _choice.out || (_options.doNotTrack ?? _navigator.doNotTrack) == 1
        ? false
        : _choice.consent?.analytics ?? (_options.consent != "required" || _nothing);
    },
    _consent = () => {
      let _refused = _navigator.globalPrivacyControl ? { advertising: false, sharing: false } : _nothing;
      return (_choice.consent || _refused) && { categoryPreferences: { ..._choice.consent, ..._refused } };
    },
    _decide = _value => _save("weft_choice", _choice = { ..._choice, ..._value }),

    // ---- who this is: read each time, as another tab may have changed it
    _me = () => {
      if (_allowed()) _person = _load("weft") || _person;
      _person.id ||= _uuid();
      return _person;
    },
    _remember = () => _allowed() && _save("weft", _person),
    _forget = () => {
      _save("weft");
      _person = {};
      _me();
      _remember(); // at once: another tab must not go on with the one before
    },

    // ---- what events say of the page and the visit
    _bare = _value => _value.split(/[?#]/)[0], // tokens and addresses stand behind these
    _page = () => ({
      path: location.pathname,
      referrer: _bare(_document.referrer),
      title: _document.title,
      url: _bare(location.href)
    }),
    _visit = _now => {
      let _starts = !(_now - _person.seen < 18e5), // 30 minutes
        _campaign = _starts ? _nothing : _person.campaign,
        _new;
      new URLSearchParams(location.search).forEach((_value, _name) => {
        if (/^(utm_|[gf]b?clid$)/.test(_name)) (_campaign = _new ||= {})[_name.replace("utm_", "").replace("campaign", "name")] = _value;
      });
      if (_starts) _person.session = _uuid();
      _person.campaign = _campaign;
      _person.seen = _now;
      return { sessionId: _person.session, sessionStart: _starts, campaign: _campaign };
    },

    // ---- from calls to events
    _add = (type, _value, _may = _allowed()) => {
      if (_may == false) return;
      let _now = new Date(),
        _event = {
          type,
          messageId: _uuid(),
          timestamp: _now,
          anonymousId: _me().id,
          userId: _person.user,
          ..._value,
          context: {
            ..._visit(+_now),
            page: _page(),
            locale: _navigator.language,
            timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
            screen: { width: screen.width, height: screen.height },
            device: { type: /Mobi/.test(_navigator.userAgent) ? "mobile" : "desktop" },
            library: { name: "weft.js" },
            consent: _consent()
          }
        };
      _remember();
      if (new Blob([_text(_event)]).size > 3e4) console.warn("weft: too large");
      else if (_may) _push(_event);
      else if (_held.push(_event) > 100) _held.shift();
    },
    // an entry an event: two tabs that changed one list would lose events, as neither sees at once what the other wrote
    _queue = () => Object.entries({ ..._storage, ..._queued }).filter(([_name]) => /^weft_e/.test(_name) && !_under_way.includes(_name)).sort(),
    _drop = ([_name]) => {
      delete _storage[_name];
      delete _queued[_name];
    },
    _push = _event => {
      let _name = "weft_e" + (Date.now() * 1e3 + _number++ % 1e3) + _event.messageId, _entries;
      _storage && _save(_name, _event) || (_queued[_name] = _text(_event));
      _entries = _queue();
      while (_entries[100] || ("" + _entries).length > 15e4) _drop(_entries.shift());
      _plan(50);
    },

    // ---- sending: an event stays in the queue until the collector has answered; every try has the same message id
    _body = _entries => _text({ writeKey: _key, batch: _entries.map(([, _value]) => JSON.parse(_value)), sentAt: new Date() }),
    _post = (body, keepalive) => fetch(_host + "/v1/batch", { method: "POST", body, keepalive }),
    _pause = () => Math.min(_load("weft_pause") - Date.now() || 0, 36e5), // an hour at most, whatever the clock or the collector says
    _plan = _wait => {
      clearTimeout(_timer);
      _timer = setTimeout(() => _navigator.locks?.request("weft", _send) || _send(), Math.max(_wait, _pause()));
    },
    _send = async () => {
      let _entries = _queue(), _value = _body(_entries), _wait = 0, _answer;
      if (!_entries[0]) return;
      _under_way = "" + _entries;
      try {
        _answer = await _post(_value, _value.length < 2e4);
      } catch {} // no network: as if the collector were away
      _under_way = "";
      if (!_answer || _answer.status == 429 || _answer.status > 499) {
        _wait = 1e3 * (_answer?.headers.get("Retry-After") || Math.min(2 ** _failures++, 300) * (.5 + Math.random()));
        _save("weft_pause", Date.now() + _wait);
      } else {
        _failures = 0;
        _entries.map(_drop);
      }
      _queue()[0] && _plan(_wait);
    },
    _leave = () => {
      let _entries = _queue();
      while (("" + _entries).length > 6e4) _entries.pop();
      _document.hidden && _entries[0] && !(_pause() > 0) &&
        (_navigator.sendBeacon(_host + "/beacon/v1/batch?writeKey=" + _key, _body(_entries)) || _post(_body(_entries), true).catch(_pause));
    },

    _calls = {
      load(..._values) {
        if (_key) return;
        [_key, _options = {}] = _values;
        _host = _options.host || _host;
        if (typeof _options.consent == "object") _calls.consent(_options.consent);
        _stub.map(([_name, ..._values]) => _calls[_name](..._values));
        addEventListener("visibilitychange", _leave);
        _plan(0);
      },
      track: (event, properties) => _add("track", { event, properties }),
      page(..._values) {
        let _names = _values.filter(_value => _value?.big); // texts
        _add("page", { name: _names.pop(), category: _names.pop(), properties: { ..._page(), ..._values.find(_value => !_value?.big) } });
      },
      identify(_user, traits) {
        if (typeof _user == "object") [traits, _user] = [_user];
        if (_user) {
          if ((_me().user || _user) != _user) _forget(); // another person: what was the first one's stays so
          _me().user = "" + _user;
          _remember();
        }
        _add("identify", { traits });
      },
      group: (groupId, traits) => _add("group", { groupId, traits }),
      alias: (userId, previousId = _me().id) => _add("alias", { userId, previousId }),
      reset: _forget,
      consent(_value) {
        let _before = _allowed() && _me(),
          consent = { ..._choice.consent, ..._value },
          _is_news = _text(consent) != _text(_choice.consent),
          _after;
        _decide({ consent });
        _after = _allowed();
        if (_after) _held.map(_event => {
          _event.context.consent = _consent();
          _push(_event);
        });
        if (_after == false) _queue().map(_drop);
        if (_after != _nothing) _held = [];
        if (_is_news && (_before || _after)) _add("track", { event: "Consent Updated" }, true); // a refusal is told, then all is forgotten
        if (_after == false) _forget();
      },
      optOut() {
        _decide({ out: 1 });
        _held = [];
        _queue().map(_drop);
        _forget();
      },
      optIn: () => _decide({ out: 0 }),
      anonymousId: () => _me().id
    },
    _api = window.weft = {};
  for (let _name in _calls) _api[_name] = (..._values) => _key || _name == "load" ? _calls[_name](..._values) : void _stub.push([_name, ..._values]);
  _stub.map(([_name, ..._values]) => _name == "load" && _calls.load(..._values));
})();
