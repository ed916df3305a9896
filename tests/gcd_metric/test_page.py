"""The server of the page, without a browser."""

import uuid

import pytest

pytestmark = pytest.mark.filterwarnings("ignore::Warning:gradio")


def press(client, elem_id):
    """Press a button in a new session, as a browser does; return all that the server sends."""
    config = client.get("/config").json()
    (button,) = (
        one["id"] for one in config["components"] if one["props"].get("elem_id") == elem_id
    )
    (event,) = (
        one
        for one in config["dependencies"]
        if [button, "click"] in one["targets"] and one["backend_fn"]
    )
    kinds = {one["id"]: one["type"] for one in config["components"]}
    values = {one["id"]: one["props"].get("value") for one in config["components"]}
    data = [values[one] or ("" if kinds[one] == "textbox" else None) for one in event["inputs"]]
    session = uuid.uuid4().hex
    joined = {"data": data, "fn_index": event["id"], "session_hash": session}
    client.post("/gradio_api/queue/join", json=joined).raise_for_status()
    return client.get("/gradio_api/queue/data", params={"session_hash": session}).text


def test_a_bounded_number_of_visits_is_kept(monkeypatch):
    # Not above, where every process of the tests would import gradio, which needs httpx.
    pytest.importorskip("gradio")
    pytest.importorskip("plotly")
    import httpx

    from gcd_metric import page

    monkeypatch.setattr(page, "_MOST_SESSIONS", 3)
    made = page.build()
    url = page.serve(made, prevent_thread_lock=True, quiet=True)
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        for _ in range(6):
            assert "there are no predictions" in press(client, "score")
    assert len(made.app.state_holder.session_data) == 3
    made.close()
