"""Every knob, with its meaning, unit and source; ``config.check`` holds the rules.

Tags: [paper] arXiv 2510.08240; [source] the project's reference runs; [ours] nothing says it.
Stages "stage1", "stage2", "single" and "sft" are of WaltzRL's game, "rlvr" and "dpo" of maths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ml_collections import ConfigDict

from waltzjax.config.toy import embedded, embedded_maths
from waltzjax.types import COUNTERFACTUAL, MATRICES, PROBE, VARIANCE

EMBEDDED = "embedded"
SFT = "sft"  # the stage of supervised fine-tuning
RLVR = "rlvr"  # the stage of RL from verifiable rewards on maths; it stands alone
DPO = "dpo"  # the stage of preferences; it stands alone
ALONE = (RLVR, DPO)  # stages of maths

# Regime W's [source; names of the roles ours]: name, persona, temperature, seed, role.
ARMS = (
    *((f"wolfram_{i}", "regime_w/wolfram.txt", (2 + i) / 10, 42 + i, VARIANCE) for i in range(4)),
    *((f"maudlin_{i}", "regime_w/maudlin.txt", (2 + i) / 10, 100 + i, VARIANCE) for i in range(4)),
    ("wolfram_standard", "regime_w/standard.txt", 0.2, 1000, PROBE),
    ("wolfram_rephrase", "regime_w/rephrase.txt", 0.2, 1001, PROBE),
    ("maudlin_cf1", "regime_w/counterfactual.txt", 0.2, 2000, COUNTERFACTUAL),
)


def default() -> ConfigDict:
    """The full-size run: Llama-3.1-8B-Instruct on eight 80 GB devices."""
    c = ConfigDict()
    c.seed = 0
    c.stages = ("stage2",)  # run in this order; the last one is the result
    c.mesh = (1, -1, 1)  # devices for data, fsdp, tensor; -1: all the rest

    c.model = ConfigDict()
    # Directory or hub name both agents start from [paper];
    # "embedded" builds a small one from nothing (section `embedded`).
    c.model.base = "meta-llama/Llama-3.1-8B-Instruct"
    # Where an agent begins, of an earlier stage or run: with adapters theirs; "" is the base.
    c.model.conversation = ""
    c.model.feedback = ""
    # What the chat template reads besides the messages, such as {"enable_thinking": False}; and the
    # day, YYYY-MM-DD, that it takes for today where it tells the date: "" is the run's first.
    c.model.template_kwargs = ConfigDict()
    c.model.template_date = ""
    c.model.dtype = "bfloat16"  # compute: float32 | bfloat16
    c.model.param_dtype = "float32"  # master weights: float32 | bfloat16
    # What of a layer the backward pass computes anew: none | full, all of it | dots, all but the
    # products with weights, which are kept (a sixth less work than full, more memory).
    c.model.remat = "full"
    # auto | xla | cudnn; auto: cuDNN's flash on GPUs in half precision. Packed rows, of SFT and of
    # likelihoods, are always XLA's.
    c.model.attention = "auto"
    c.model.vocab_block = 1024  # log-probs: logits of so many tokens of the vocabulary are held

    c.lora = ConfigDict()  # adapters over one frozen base (arXiv 2106.09685)
    c.lora.rank = 0  # 0: no adapters, every weight is trained
    c.lora.alpha = 32.0  # the adapter's part is scaled by alpha / rank
    # On its input, in the updates of "sft" and "dpo"; those of reinforcement are of the policy that
    # was sampled from, without.
    c.lora.dropout = 0.0
    c.lora.targets = MATRICES

    c.prompts = ConfigDict()  # files: system prompt, a line ---, message; "" is the package's own
    c.prompts.conversation = ""
    c.prompts.feedback = ""
    c.prompts.template = ""  # oracle: advice on unsafe answers, a line ---, on over-refusals
    c.prompts.maths = ""  # what the policy of maths is shown: system prompt, ---, {problem}

    c.data = ConfigDict()
    c.data.directory = "data/waltz"  # train.jsonl, validation.jsonl, manifest.json

    # Of maths: JSON Lines with `problem` or `question`, and `answer`; "embedded" are word problems
    # made from nothing. A single problem is repeated to the batch.
    c.problems = ConfigDict()
    c.problems.train = "data/one_shot/pi1.jsonl"
    c.problems.validation = "data/math500/test.jsonl"
    # Put after each problem that does not end in it [arXiv 2504.20571]; "": nothing.
    c.problems.instruction = (
        "Let's think step by step and output the final answer within \\boxed{}."
    )
    # How answers are to name their result, which is their format: boxed, one \\boxed{} at the end
    # | line, a last line "Answer: n" or "#### n". Verification reads all of them.
    c.problems.form = "boxed"
    c.problems.max_tokens = 1024  # of a problem as the policy is shown it [source]; more: an error

    c.judge = ConfigDict()  # says of each answer whether it is unsafe or over-refuses
    # label: the prompt's label and a refusal classifier, rules with a floor of some 3 % ASR: for
    # small runs; at full size take one of the others | wildguard (arXiv 2406.18495)
    # | openai: any chat model behind an OpenAI-compatible endpoint
    c.judge.name = "label"
    c.judge.model = ""  # the endpoint's name of it; with no url WildGuard's directory or hub name
    c.judge.url = ""  # of the endpoint, http://HOST:PORT/v1
    c.judge.key_env = ""  # environment variable with the API key; "": none is sent
    c.judge.prompt = ""  # openai: file with system prompt and message; "" is prompts/judge.txt
    c.judge.max_tokens = 256  # openai: of a reply; WildGuard's are 32 at most
    c.judge.concurrency = 16  # requests under way at a time
    c.judge.timeout_s = 120.0  # the endpoint's longest silence during a request
    c.judge.patience_s = 3600.0  # how long a run pauses for an endpoint that cannot be reached
    c.judge.cache = ""  # SQLite file of replies; "" is verdicts.sqlite in the run's directory
    c.judge.max_unparsed = 0.2  # share of a step's answers without a usable verdict; more stops it

    c.rollout = ConfigDict()
    c.rollout.batch = 32  # prompts a step [source]
    c.rollout.group = 1  # "rlvr": answers to each, over which its baseline is taken
    c.rollout.t_max = 1  # feedback rounds [paper]; 0: the conversation agent alone
    # waltz | oracle: the judge's labels and a template are the feedback | safeguard: what feedback
    # calls unsafe is replaced by a refusal. The latter two are baselines [paper].
    c.rollout.variant = "waltz"
    c.rollout.max_new_tokens = 512  # a turn [source]
    c.rollout.temperature = 1.0  # [ours]
    # What is left out of the distribution, in rollouts and evaluations [ours: nothing].
    c.rollout.top_k = 0  # all but the k most probable tokens; 0: nothing
    c.rollout.top_p = 1.0  # all but the most probable tokens of this mass together; 1: nothing
    c.rollout.min_p = 0.0  # tokens less probable than this part of the most probable; 0: nothing
    c.rollout.slots = 64  # turns generated at a time, over all devices
    # Tokens, over all devices, whose keys and values are held; turns wait when it is full. At 8B
    # 128 KiB each; a turn has room in one device's part of it (data and fsdp axes).
    c.rollout.cache_tokens = 65536
    c.rollout.length_multiple = 128  # padding of the update's rows; fewer shapes to compile
    c.rollout.p_first = 0.5  # conversation agent trains on c_0 with this odds, else c_T [ours]

    c.reward = ConfigDict()
    c.reward.alpha = 0.65  # dynamic improvement [source]
    c.reward.gamma = 0.1  # format [source]
    c.reward.conditioned = True  # alpha pays only where the feedback's labels are right [paper]
    c.reward.lam = ConfigDict({"stage1": 0.25, "stage2": 0.0})  # label; [ours], [paper]
    # Weights of the signals of "rlvr", each in [0, 1] but for overlong in [-1, 0] [source; the last
    # arXiv 2503.14476, eq. 13]. 0: it is measured, and earns nothing.
    c.reward.signals = ConfigDict({"verify": 1.0, "format": 0.5, "reflect": 0.5, "overlong": 0.0})
    # What format and reflect need before they earn: problem, the answer works on its problem, with
    # numbers, words or formulas of it | verify, the answer is right. Without either one reply that
    # ignores the problem earned both on every problem [ours].
    c.reward.needs = ConfigDict({"format": "problem", "reflect": "problem"})
    # sum: of the weighted signals, one advantage | normalise: each signal's own advantage, summed.
    c.reward.order = "sum"
    c.reward.overlong_buffer = 0  # the last tokens of max_new_tokens, over which overlong falls

    c.verify = ConfigDict()  # answers that need more than a comparison of numbers
    c.verify.workers = 2  # processes
    c.verify.timeout_s = 5.0  # of processor time; then the process is killed, the answer wrong

    c.rl = ConfigDict()
    # reinforce_pp (the game's) | reinforce_pp_baseline | grpo | dr_grpo | rloo: see recipes.
    c.rl.algorithm = "reinforce_pp"
    # KL coefficient [source], against what each agent was at the start of the stage.
    c.rl.beta = ConfigDict({"stage1": 0.01, "stage2": 0.01, "single": 0.01, "rlvr": 0.001})
    # > 0: beta of each agent follows its KL, nats a token, to this target (arXiv 1909.08593, 2.2).
    c.rl.kl_target = 0.0
    c.rl.kl_gain = 0.1  # of that: how fast [the same paper]
    c.rl.kl_estimator = "k1"  # k1 | k2 | k3
    # reward | loss. REINFORCE++ has it in the reward. In the loss take k2 or k3: at the policy that
    # sampled, the gradient of k1 is zero on average.
    c.rl.kl_in = "reward"
    c.rl.clip_low = 0.2  # [source]
    c.rl.clip_high = 0.2  # [source]
    c.rl.dual_clip = 0.0  # floor on negative advantages' objective, > 1; 0: off
    c.rl.reward_clip = 10.0  # [OpenRLHF]
    c.rl.is_cap = 0.0  # truncated importance weights' cap; 0: off
    # auto: the algorithm's own, constant for dr_grpo, else sequence | sequence: the mean over
    # sequences | token: over tokens, as OpenRLHF and DAPO | constant: over sequences and
    # max_new_tokens, whatever their lengths.
    c.rl.weights = "auto"
    c.rl.entropy_bonus = 0.0  # in the loss, nats a token
    # Dynamic sampling (DAPO): so many times a step, at most, groups whose answers all have the same
    # advantage are replaced by others; 0: they stay, and carry no gradient.
    c.rl.refills = 0
    c.rl.microbatches = 4  # gradient accumulation [source]; token_budget > 0 decides it instead
    # Tokens a device and microbatch, in rows that hold several texts; 0: padded rows of one text.
    c.rl.token_budget = 0
    c.rl.updates_per_rollout = 1  # passes over one rollout batch [source]

    c.sft = ConfigDict()  # stage "sft": one agent learns from chats, before reinforcement
    c.sft.role = "feedback"  # conversation | feedback
    c.sft.data = "data/sft"  # ROLE-train.jsonl, ROLE-validation.jsonl (scripts/make_sft_data.py)
    c.sft.examples = 0  # of the training chats, drawn at random; 0: all
    c.sft.length = 2048  # tokens of a row, which holds as many chats as fit
    c.sft.batch = 16  # rows an update
    c.sft.microbatches = 2  # of at least a row a device
    c.sft.epochs = 2
    c.sft.lr = 1e-5

    c.collect = ConfigDict()  # waltzjax.collect: answers of several arms to each question
    c.collect.questions = 500  # of problems.train, drawn at random [source]; 0: all
    # (name, persona, temperature, seed, role) each; a persona is a file as prompts.maths is, roles
    # are variance, probe and counterfactual.
    c.collect.arms = ARMS

    c.pairs = ConfigDict()  # preferences made of what was collected
    # Of a question at most, its answers taking turns [ours]; 0: none of this type.
    c.pairs.correctness_per_question = 8
    c.pairs.coherence_per_question = 8
    c.pairs.least_difference = 0.01  # of two correct answers' rewards; more is a pair [source]
    # Share of "correctness" [source: 0.7 to 0.8]: of the type that has more, some are left out; 0:
    # all stay.
    c.pairs.correctness_share = 0.75
    c.pairs.most = 5000  # in all [source]; 0: any number

    c.dpo = ConfigDict()  # stage "dpo": the policy learns from preferences (arXiv 2305.18290)
    c.dpo.data = "runs/regime_w_collect/pairs.jsonl"  # question, chosen, rejected
    # sigmoid | robust | ipo | ipo_sum | hinge | apo_zero | sigmoid_norm: see core.preference
    c.dpo.loss = "sigmoid"
    c.dpo.beta = 0.1  # [ours]
    c.dpo.label_smoothing = 0.0  # sigmoid (cDPO), robust: how many of the pairs are the wrong way
    c.dpo.margin = 0.0  # sigmoid_norm: reward, beta * nats a token, to lead by (SimPO's gamma)
    c.dpo.sft_weight = 0.0  # of the chosen answers' negative log-likelihood, nats a token
    # What log-probabilities are compared with: cached, those of the policy at the beginning,
    # computed once | live, the same, computed at every step | none.
    c.dpo.reference = "cached"
    c.dpo.max_tokens = 1024  # of a question as the policy is shown it and an answer; more: an error
    c.dpo.batch = 32  # pairs an update [source: 8 devices, 2 each, accumulated twice]
    c.dpo.microbatches = 2  # [source]
    c.dpo.epochs = 3  # [source]
    c.dpo.lr = 5e-5  # [source]

    c.optim = ConfigDict()
    c.optim.lr = ConfigDict({"conversation": 5e-7, "feedback": 5e-7, "policy": 1e-6})  # [source]
    c.optim.warmup_steps = 0
    c.optim.schedule = "constant"  # constant | linear: down to 5 % at the stage's last step
    c.optim.b1, c.optim.b2 = 0.9, 0.95
    c.optim.eps = 1e-8  # Adam's; gradients well below it move nothing
    c.optim.weight_decay = 0.0
    c.optim.grad_clip = 1.0  # global norm

    c.train = ConfigDict()
    c.train.epochs = 5  # over the training prompts [source]
    # Optimiser steps of each stage; 0: epochs * prompts / batch.
    c.train.steps = ConfigDict({"stage1": 0, "stage2": 0, "single": 0, "rlvr": 0})
    # auto: what the run's directory holds is continued | off: nothing is ever loaded, the directory
    # must be new | a run's directory: its last checkpoint is where this run, in another, begins.
    c.train.resume = "auto"
    c.train.checkpoint_every = 1000  # steps; also at the end of each epoch [source]
    c.train.validate_every = 500  # steps [source]; 0: only at the end
    c.train.validate_first = True  # before any training too: "base"
    c.train.keep_checkpoints = 2

    c.eval = ConfigDict()
    c.eval.prompts = 0  # of the validation set, stratified; 0: all
    c.eval.temperature = 0.0  # 0: greedy
    c.eval.samples = (
        1  # "rlvr": answers to each problem, whose mean is avg@k; > 1 needs a temperature
    )

    c.embedded = embedded()
    c.embedded_maths = embedded_maths()
    return c


def choose(variants: Mapping[str, Callable[[], ConfigDict]], arg: str) -> ConfigDict:
    """The variant of a config that its argument, what stands after the colon, names; ValueError
    with the ones there are: ml_collections would take any."""
    if arg not in variants:
        raise ValueError(
            f"config argument: got {arg!r}, allowed are {', '.join(map(repr, variants))}"
        )
    return variants[arg]()
