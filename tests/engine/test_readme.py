"""The example of the engine's README runs as it stands there, on another model."""

import re

from support import REPO, sharded_params, tiny_chat, tiny_runtime

from waltzjax.model.hf import weights


def test_the_example_runs(tmp_path, capsys):
    text = (REPO / "waltzjax/engine/README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    runtime, agent = tiny_runtime(), tmp_path / "agent"
    params = sharded_params(runtime.cfg, runtime.mesh)
    weights.save(agent, runtime.cfg, params, tiny_chat().tokenizer, generation={})
    assert code.count('"runs/demo/conversation"') == 1
    exec(code.replace('"runs/demo/conversation"', repr(str(agent))), {})
    lines = capsys.readouterr().out.splitlines()
    assert sorted(re.findall(r"(?m)^([01]) (?:stop|length) ", "\n".join(lines))) == ["0", "1"]
