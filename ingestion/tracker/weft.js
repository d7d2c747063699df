// Weft's browser tracker. What it does, sends and stores stands in docs/tracker.md. No dependency and no build step: the collector
// serves it without comments and indents, names that begin with an underscore shortened. It must stay under 4,000 bytes then.
(() => {
  let _stub = window.weft || [], // the snippet's: calls from before this script
    _document = document,
    _navigator = navigator,
    _text = JSON.stringify,
    _host = _document.currentScript?.src.replace(/\/[^/]*$/, ""),
    _most_events = 100,
    _under_way = new Set(), // message ids that a request of this page holds
    _person = {},
    _choice = {},
    _held = [], // events from before consent
    _failures = 0,
    _queued, // the queue, where it cannot be stored
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
      "10000000-1000-4000-8000-100000000000".replace(/[018]/g, _digit =>
        (_digit ^ crypto.getRandomValues(new Uint8Array(1))[0] & 15 >> _digit / 4).toString(16)
      ), // crypto.randomUUID wants https

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
    _decide = _change => _save("weft_choice", _choice = { ..._choice, ..._change }),

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
    _bare = _address => _address.split(/[?#]/)[0], // tokens and addresses stand behind these
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
        if (/^(utm_.+|gclid|fbclid)$/.test(_name)) (_campaign = _new ||= {})[_name.replace("utm_", "").replace("campaign", "name")] = _value;
      });
      if (_starts) _person.session = _uuid();
      _person.campaign = _campaign;
      _person.seen = _now;
      return { sessionId: _person.session, sessionStart: _starts, campaign: _campaign };
    },

    // ---- from calls to events
    _add = (type, _fields, _may = _allowed()) => {
      if (_may == false) return;
      let _now = new Date(),
        _event = {
          type,
          messageId: _uuid(),
          timestamp: _now,
          anonymousId: _me().id,
          userId: _person.user,
          ..._fields,
          context: {
            ..._visit(+_now),
            page: _page(),
            locale: _navigator.language,
            timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
            screen: { width: screen.width, height: screen.height },
            device: { type: /Mobi/.test(_navigator.userAgent) ? "mobile" : "desktop" },
            library: { name: "weft.js", version: "1" },
            consent: _consent()
          }
        };
      _remember();
      if (_text(_event).length > 32e3) console.warn("weft: event too large");
      else if (_may) _push([_event]);
      else if (_held.push(_event) > _most_events) _held.shift();
    },
    _queue = () => _queued || _load("weft_queue") || [],
    _keep = _events => {
      while (_events[_most_events] || _text(_events).length > 15e4) _events.shift();
      _queued = _storage && _save("weft_queue", _events[0] && _events) ? _nothing : _events;
    },
    _push = _events => {
      _keep([..._queue(), ..._events]);
      _plan(50);
    },

    // ---- sending: an event stays in the queue until the collector has answered; every try has the same message id
    _batch = () => _queue().filter(_event => !_under_way.has(_event.messageId)),
    _body = batch => _text({ writeKey: _key, batch, sentAt: new Date() }),
    _post = (body, keepalive) => fetch(_host + "/v1/batch", { method: "POST", body, keepalive }),
    _pause = () => Math.min(_load("weft_pause") - Date.now() || 0, 36e5), // an hour at most, whatever the clock or the collector says
    _plan = _wait => {
      clearTimeout(_timer);
      _timer = setTimeout(() => _navigator.locks ? _navigator.locks.request("weft", _send) : _send(), Math.max(_wait, _pause()));
    },
    _send = async () => {
      let _events = _batch(), _sent = _body(_events), _wait = 0, _answer;
      if (!_events[0] || _under_way.size) return;
      _events.map(_event => _under_way.add(_event.messageId));
      try {
        _answer = await _post(_sent, _sent.length < 2e4);
      } catch {} // no network: as if the collector were away
      if (!_answer || _answer.status == 429 || _answer.status > 499) {
        _wait = 1e3 * (_answer?.headers.get("Retry-After") || Math.min(2 ** _failures++, 300) * (.5 + Math.random()));
        _save("weft_pause", Date.now() + _wait);
      } else {
        _failures = 0;
        _keep(_batch());
      }
      _under_way.clear();
      if (_queue()[0]) _plan(_wait);
    },
    _leave = () => {
      let _events = _batch();
      while (_body(_events).length > 6e4) _events.pop();
      if (_document.hidden && _events[0] && !(_pause() > 0))
        _navigator.sendBeacon(_host + "/beacon/v1/batch?writeKey=" + _key, _body(_events)) || _post(_body(_events), true).catch(_pause);
    },

    _calls = {
      load(_write_key, _settings = {}) {
        if (_key) return;
        _key = _write_key;
        _options = _settings;
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
        if (_user && (_me().user || _user) != _user) _forget(); // another person: what was the first one's stays so
        if (_user) _me().user = "" + _user;
        _add("identify", { traits });
      },
      group: (groupId, traits) => _add("group", { groupId, traits }),
      alias: (userId, previousId = _me().id) => _add("alias", { userId, previousId }),
      reset: _forget,
      consent(_purposes) {
        let _before = _allowed() && _me(),
          consent = { ..._choice.consent, ..._purposes },
          _is_news = _text(consent) != _text(_choice.consent),
          _after;
        _decide({ consent });
        _after = _allowed();
        if (_after) _push(_held.map(_event => (_event.context.consent = _consent(), _event)));
        if (_after == false) _keep([]);
        if (_after != _nothing) _held = [];
        if (_is_news && (_before || _after)) _add("track", { event: "Consent Updated" }, true); // a refusal is told, then all is forgotten
        if (_after == false) _forget();
      },
      optOut() {
        _decide({ out: 1 });
        _held = [];
        _keep([]);
        _forget();
      },
      optIn: () => _decide({ out: 0 }),
      anonymousId: () => _me().id
    },
    _api = window.weft = {};
  for (let _name in _calls) _api[_name] = (..._values) => _key || _name == "load" ? _calls[_name](..._values) : void _stub.push([_name, ..._values]);
  _stub.map(([_name, ..._values]) => _name == "load" && _calls.load(..._values));
})();
