"""The live page: what it says of a run at each point, and who is served."""

import json
import re
import urllib.error
import urllib.request

import browser
import pytest
import run_pages
from support import answered, attempt, scored_episode

from waltzjax.config.defaults import default
from waltzjax.monitor import serve
from waltzjax.monitor.live_page import build_live
from waltzjax.monitor.serve import LivePage, serving
from waltzjax.rlvr.predictions import prediction
from waltzjax.rlvr.rates import result as maths_result
from waltzjax.waltz.evaluate import result
from waltzjax.waltz.transcripts import transcript

CONFIG = {"stages": ["stage1", "stage2"], "seed": 3, "model": {"base": "b"}}


def write(workdir, name, value):
    path = workdir / name
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(v) + "\n" for v in value) if type(value) is list else None
    path.write_text(lines if lines is not None else json.dumps(value))


def evaluation(mended):
    episodes = [scored_episode(True, [True, not mended], [(True, False)]) for _ in range(4)]
    return {
        "result": result(default(), episodes),
        "transcripts": [transcript(e) | {"id": i} for i, e in enumerate(episodes)],
    }


def heading(html):
    return re.findall(r"<h1>(.*?)</h1>", html)[0]


def text_of(html, part):
    inside = html.split(f'data-part="{part}"')[1].split("</section>")[0]
    return " ".join(re.sub(r"<[^>]*>", " ", inside).split())


def test_a_run_from_nothing_to_its_end(tmp_path):
    workdir = tmp_path / "run"
    html = build_live(workdir)
    assert heading(html) == "run" and "No run is there yet" in html
    write(workdir, "config.json", CONFIG)
    html = build_live(workdir)
    assert heading(html) == "stage 1, then stage 2, seed 3"
    assert "Not there yet: a step (metrics.jsonl), an evaluation" in html
    rows = run_pages.metrics({"stage1": 3})
    write(workdir, "metrics.jsonl", rows)
    with (workdir / "metrics.jsonl").open("a") as file:
        file.write('{"stage": "stage1", "st')  # half a line
    write(workdir, "evaluations/base.json", evaluation(mended=False))
    write(workdir, "events.jsonl", [
        {"wall_time": 1.8e9, "kind": "launch", "stage": "stage1", "step": 0, "text": "new",
         "total_steps": {"stage1": 3, "stage2": 5}},
        {"kind": "resume"},  # of another program: it has no step
    ])  # fmt: skip
    left = {"left_s": 90.0, "low_s": 60.0, "high_s": 125.0, "run_left_s": 3720.0}
    write(workdir, "monitor/status.json", left)
    html = build_live(workdir)
    assert "Time left 1 h 02 min this stage: 1 min 00 s to 2 min 05 s" in text_of(html, "summary")
    assert "Not there yet: the final results" in html and "3 training steps" in html
    assert "3 of 8" in text_of(html, "summary") and "running" in text_of(html, "summary")
    assert "base (final)" in html and html.count('class="card transcript"') == 4
    write(workdir, "evaluations/stage1.json", evaluation(mended=True))
    html = build_live(workdir)
    assert "stage 1 (final)" in html and "unsafe answer, mended" in html
    with (workdir / "events.jsonl").open("a") as file:
        file.write(json.dumps({"kind": "end", "stage": "stage1", "step": 3}) + "\n")
    write(workdir, "final_validation_results.json", {})
    assert "Not there yet" not in (html := build_live(workdir)) and "finished" in html
    assert "Time left" not in html


def test_a_run_on_maths(tmp_path):
    write(tmp_path, "config.json", {"stages": ["rlvr"], "seed": 0})
    write(tmp_path, "metrics.jsonl", [{"stage": "rlvr", "step": i, "time_s": 1.0} for i in (1, 2)])
    for name, right in (("base", False), ("rlvr_1", True)):
        groups = [answered(i, attempt(right)) for i in range(3)]
        content = {
            "result": maths_result(groups, seed=0, settings={}),
            "predictions": [prediction(g) for g in groups],
        }
        write(tmp_path, f"evaluations/{name}.json", content)
    html = build_live(tmp_path)
    assert heading(html) == "RLVR, seed 0" and "RLVR, step 1" in html
    assert html.count("✓ right") == 3 and html.count("✗ wrong") == 3 and "not finished" in html


def get(url, **headers):
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, ""


def test_who_is_served_and_what(tmp_path, monkeypatch):
    monkeypatch.setattr(serve, "PAUSE_S", 0.0)
    with serving(tmp_path, 0) as url:
        status, headers, html = get(url)
        assert status == 200 and "No run is there yet" in html
        assert "connect-src &#39;self&#39;" in html and len(re.findall("<script>", html)) == 2
        assert get(url, **{"If-None-Match": headers["ETag"]})[0] == 304
        assert get(url, Host="localhost:9")[0] == 200
        assert get(url, Host="evil.example")[0] == 403  # its name may lead here
        assert get(f"{url}config.json")[0] == get(f"{url}../etc/passwd")[0] == 404
        assert get(f"{url}favicon.ico")[0] == 204
        port = int(url.strip("/").rpartition(":")[2])
        taken = f"--serve: port {port} of 127.0.0.1 is taken"
        with pytest.raises(OSError, match=taken), serving(tmp_path, port):
            pass
    with pytest.raises(urllib.error.URLError):
        get(url)  # it is over with the block


def test_the_page_is_built_when_files_change_and_seldom(tmp_path, monkeypatch):
    built = []
    monkeypatch.setattr(serve, "build_live", lambda d: built.append(d) or f"page {len(built)}")
    live = LivePage(tmp_path)
    monkeypatch.setattr(serve.time, "monotonic", lambda: now[0])
    now = [10.0]
    page, tag = live.now()
    write(tmp_path, "metrics.jsonl", [{"a": 1}])
    now[0] += 1.0  # too soon
    assert live.now() == (page, tag)
    now[0] += serve.PAUSE_S
    newer, other = live.now()
    assert newer == b"page 2" and other != tag
    now[0] += serve.PAUSE_S  # nothing is new
    assert live.now() == (newer, other) and len(built) == 2


@pytest.mark.skipif(bool(why := browser.missing()), reason=why or "a browser is here")
def test_the_page_renews_itself_and_the_reader_keeps_the_place(tmp_path, monkeypatch):
    monkeypatch.setattr(serve, "PAUSE_S", 0.0)
    monkeypatch.setattr(serve, "SHARE", 1e9)
    write(tmp_path, "config.json", CONFIG)
    rows = run_pages.metrics({"stage1": 9})
    write(tmp_path, "metrics.jsonl", rows[:3])
    write(tmp_path, "evaluations/base.json", evaluation(mended=False))
    with (
        serving(tmp_path, 0) as url,
        browser.chromium() as chrome,
        browser.opened(chrome, url, 390, "dark") as (page, errors),
    ):
        page.fill("input[type=search]", "unsafe")
        page.evaluate("document.querySelector('.transcript').open = true")
        place = page.locator("input[type=search]")
        place.scroll_into_view_if_needed()
        before = place.bounding_box()["y"]
        write(tmp_path, "metrics.jsonl", rows)
        page.evaluate("refresh()")
        page.wait_for_function("document.body.textContent.includes('9 training steps')")
        page.wait_for_function("document.querySelector('#live').textContent.includes('as of')")
        assert abs(place.bounding_box()["y"] - before) < 3
        assert page.input_value("input[type=search]") == "unsafe"
        assert page.evaluate("document.querySelector('.transcript').open")
        assert page.evaluate("document.activeElement.type") == "search"
        assert browser.faults(page) == [] and errors == []
