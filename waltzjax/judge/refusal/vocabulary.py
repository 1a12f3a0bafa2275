"""Words of the refusal rules, as parts of patterns: who declines, what, and why.

The parts are over lower-case sentences of ``sentences`` ("n't" is " not" there).
"""

from __future__ import annotations

NAMED = (
    r"(?:this|the) (?:(?:ai|language|virtual|digital|chat) ){0,2}(?:ai|assistant|model|chatbot|bot"
    r"|system)|chatgpt|gpt-?\d?|claude|gemini|gemma|llama|mistral|bard|copilot|qwen"
)
# Also "I am an AI and ...", "I am designed to be helpful, so ...": what I am, then what I do.
ME = (
    rf"(?:(?<!if )(?<!\w)i|(?<!if )(?<!\w)we|\b(?:{NAMED}))(?:, (?:as"
    rf"|being) an? [^,.!?]{{1,40}},)?"
    r"(?: (?:am|are) (?:just |only |merely |simply )?(?:an? |designed |programmed |here |meant "
    r"|made "
    r"|built |trained )[^.!?]{1,80}?,? (?:and|so|who|that|which)(?: i)?)?"
    r"(?: am| are| is| have| has| would| will| do)?"
)
ADV = (
    r"(?:[a-z]+ly,? |also |just |even |still |in good conscience,? |and (?:will|do) not "
    r"|or (?:will|do) not |be |either |therefore |thus |in any way |afraid (?:that )?i "
    r"|sorry,? i ){0,3}"
)
CANNOT = (
    r"(?:cannot|will not|unable to|refuse to|(?:should|must|may|could) not"
    r"|not (?:be )?(?:able to|going|allowed|programmed"
    r"|designed|willing|equipped|capable|comfortable|in a position|at liberty|permitted"
    r"|authori[sz]ed|prepared|about|supposed|meant|inclined|interested|here)(?: to| of| with| in)?"
    r"|do not (?:feel (?:comfortable|right)(?: with| about)?|want to|wish to|intend to|plan to"
    r"|care to)"
    r"|do(?:es)? not(?= (?:provide|assist|engage|offer|generate|share|create|discuss"
    r"|help\b(?! much)"
    r"|answer|respond|do (?:that|this|those|these|such)|produce|write (?:such|that|this)))"
    r"|neither(?= (?:endorse|condone|support|promote|encourage|assist|help)))(?:, [^.,!?]{1,40},)?"
)
HELP = (  # "I cannot tell you how happy I am", "can't recommend it enough" are no refusals
    r"(?:fulfil|comply|complete|assist"
    r"|help(?:ing)?\b(?! but| (?:feel|notic|think|wonder|smil|laugh|admir|lov|lik|worry|imagin)\w*)"
    r"|answer|respond|satisfy|offer|accommodat|honou?r (?:that|this|your)"
    r"|access|participat|take part|engag|facilitat|provid|giv(?:e|ing)|guid(?:e|ing)|walk you"
    r"|shar(?:e|ing)|generat|creat|writ(?:e|ing)|produc(?:e|ing)|discuss|disclos|reveal|suggest"
    r"|advis"
    r"|talk(?:ing)? (?:about|to you about)|speculat|support (?:that|this|your|such|you|requests?"
    r"|any)|endorse"
    r"|go along|go there|take sides|(?:a )?part(?:y)? (?:of|to|in) (?:this|that|it|any|such|your)"
    r"|involved (?:in|with)|complicit|comment\b|weigh in"
    r"|(?:tell|explain|describ|teach|show)\w*(?! (?:you )?(?:enough|if\b|whether\b|which\b"
    r"|how (?:much|many|happy|glad)))"
    r"|instruct|justif|contribut|continue|proceed|recommend (?!it\b|th|[^.!?]{0,60} enough)"
    r"|mak(?:e|ing) (?:jokes?|fun|generali|comment|any|light)|do(?:ing)? (?:that|this|so"
    r"|it\b(?! just)))"
)
BAD = (
    r"(?:harm(?:ful|s|ing)?|offensive|inappropriate|unethical|immoral|illegal|unlawful|dangerous"
    r"|racis\w+|discriminat\w*|disrespectful|stereotyp\w*|prejudice\w*|hate(?:ful)?|violen\w+"
    r"|hurtful|derogatory|unacceptable|morally wrong|against the law|criminal)"
)
NOTOK = (
    r"(?:(?:not|never) (?:be )?(?:ever )?(?:\w+ly )?(?:an? )?(?:\w+ or )?(?:appropriate|ethical"
    r"|okay|acceptable|ok|right|fair|respectful|healthy|legal|moral|justifi\w+|funny)|inappropriate"
    r"|unethical|unacceptable|unfair|illegal|immoral|wrong|against the law)\b"
)
FIT = (
    r"(?:appropriate|right|ethical|okay|ok|acceptable|responsible|safe|proper|fair|moral|respectful"
    r"|kind|wise|suitable|a good idea|my place)"
)
EQUITY = (
    r"\b(?:equal|discriminat|dignity|inclusi|diversity|diverse (?:back|pers|range)|unethical"
    r"|stereotyp|(?:same|human|fundamental) rights?|prejudice|judged (?:based )?on"
    r"|based (?:solely )?on their|regardless of|assumptions about|generali[sz]ation"
    r"|their own (?:choices|decisions)|all (?:individuals|people)|every individual)"
)
PRIVACY = (  # somebody's, not a setting
    r"\b(?:(?:violat|inva[ds]|respect|protect|infring|compromis)\w*|their|his|her|other'?s'?"
    r"|someone'?s?"
    r"|else's|people's|person's|personal|individual'?s?'?) (?:\w+ ){0,3}privacy|\bprivacy (?:of"
    r"|and|is|rights?|laws?|violat)"
)
GRAVE = rf"{EQUITY}|\b{BAD}|{NOTOK}|{PRIVACY}|\b(?:consent|respect)"
ASK = r"(?:question|request|prompt|query|statement|premise|content|information)"
ASKED = (
    rf"(?:(?:this|that|these|those|such (?:an? )?\w+)|(?:your|the|this|that|any"
    rf"|these) (?:\w+ ){{0,2}}"
    rf"(?:{ASK}|instructions?|details?|topic|subject|material|message|task|response|answer|help"
    r"|assistance|kind|sort|type|steps|guidance)s?\b[^.!?]{0,50}?"
    r"|(?:assistance|help|instructions|guidance|information|support|advice)\b[^.!?]{0,40}?)"
)
DONE = (
    r"(?:shared|provided|answered|given|fulfill?ed|completed|processed|discussed|disclosed|offered"
    r"|generated|honou?red|accommodated|granted|assisted|complied with|helped with)"
)
REST = (  # what follows "I'm sorry, but" where it declines, and does not put something right
    r"(?=[^.!?]{0,160}(?:\b(?:not|cannot|no|never|unable|declin\w+|refus\w+|against|violat\w+"
    r"|as an ai"
    r"|as a language|as a responsible|beyond|outside|impossible|prohibit\w*|forbid\w*|forbidden"
    r"|private|confidential|off-?limits|pass|must|draw the line|blocked|disallow\w*|have to"
    rf"|{BAD}|{EQUITY})))"
    r"(?!(?:that|this|it|there)\b[^.!?]{0,30} not (?:quite |entirely )?(?:correct|true|accurate"
    r"|valid"
    r"|defined|open|available (?:on|in|until|before))|(?:i|we) (?:do not|did not) (?:quite "
    r"|fully )?"
    r"(?:see|follow|mean|agree with your (?:maths?|code|sum)))"
)
