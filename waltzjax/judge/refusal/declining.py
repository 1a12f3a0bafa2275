"""The grammar of declining: who declines, how, and what; any combination is a refusal.

It reads sentences of ``sentences``, in which "n't" is " not" and the case is lower. ``DECLINES``
finds one that declines; whether help follows it is not its business.
"""

from __future__ import annotations

import re

# ---- who: the assistant, by its pronouns and names, and what it is made to keep to ----
_BODY = (
    r"(?:(?:this|the) (?:ai |language |chat ?|virtual )?(?:system|service|assistant|model|bot|ai"
    r"|platform|tool))"
)
_I = rf"(?<!if )\b(?:i|we|{_BODY})\b"
_RULES = (
    r"\b(?:my|our|these|its) (?:[a-z]+,? (?:and )?){0,3}(?:conscience|guidelines?|polic(?:y|ies)"
    r"|programming|training|principles?|rules|values|instructions|ethics|safeguards|design"
    r"|standards|terms)\b"
)
# ---- how ----
_BE = r"(?:am|are|is|was|were|have been|has been|had been|will be|would be)"
_ADV = (
    r"(?:[a-z]+ly,? |just |simply |also |still |ever |even |in good (?:conscience|faith) "
    r"|afraid i |but |and will not ){0,3}"
)
_NOT = (
    rf"(?:(?:cannot|will not|would not|would never|will never|could not|could never|must not"
    rf"|may not|should not|do(?:es)? not|do(?:es)? never|never) {_ADV}(?:be )?"
    r"(?:(?:want|wish|intend|plan|care|choose|get|feel (?:right|comfortable|able|good)"
    rf"|able|permitted|allowed|willing)(?: to| about| with)? )?"
    rf"|(?:{_BE} )?(?:not|never|un|no longer) ?(?:be |{_ADV})(?:(?:going|able|willing|prepared"
    r"|allowed|permitted|comfortable|ready|free|about|here|designed|meant|built|made|in a position"
    r"|at liberty|the (?:one|right \w+)) (?:to |with |for |in )?)?"
    rf"|{_BE} (?:(?:barred|prohibited|prevented|forbidden|banned) from|forbidden to|reluctant to"
    r"|unwilling to|unable to) "
    r"|lacks? (?:the )?(?:ability|means|authority|permission|right|capacity) to )"
)
# ---- what: what an assistant does for somebody, as a verb ----
_DO = (
    r"(?:help(?! but| (?:feel|notic|think|wonder|smil|laugh|admir|lov|lik|worry|imagin))|assist"
    r"|aid|support|abet|answer|respond|repl|provid|suppl|giv|offer|share|sharing"
    r"|shar|hand|produc|generat|creat|compos|draft|craft|writ|pen|put (?:together|that|this)"
    r"|put(?:ting)? (?:together|that|this)|discuss|disclos|reveal|describ|explain"
    r"|tell(?:ing)? (?:you|anyone|anybody)(?! (?:enough|how (?:happy|much|many|glad)|whether"
    r"|if\b|which|what to))"
    r"|teach|walk(?:ing)? you|show(?:ing)? you|guid|instruct|advis(?!able)"
    r"|go(?:ing)? (?:there|into|near|along|any (?:further|deeper)|further|down (?:that|this))"
    r"|touch(?:ing)? (?:that|this|it)|engag|participat|tak(?:e|ing) part|contribut|be (?:a )?part"
    r"|be(?:ing)? (?:the one|involved|complicit|drawn|doing|getting|writing|giving|telling)"
    r"|facilitat|enabl|encourag|promot|endors|condon|compl(?:y|ying)|fulfil|entertain (?:this|that"
    r"|such)|argu(?:e|ing)|play(?:ing)? along|do(?:ing)? (?:that|this|so|it|such|anything like)\b"
    r"(?! just)|spell(?:ing)? (?:it|this|that|out)|plan(?:ning)?\b|lend|draw(?:ing)? up|feed"
    r"|fuel|sugges|outlin|detail|list|cooperat|proceed|continu|carry on"
    r"|cross|get(?:ting)? (?:into|involved|behind))"
)
_THING = (
    r"(?:request|question|prompt|query|content|material|output|information|assistance|help|guidance"
    r"|instruction|detail|topic|subject|text|message|advice|plan|guide|recipe|support|disclosure"
    r"|response|answer|reply|step|tip|trick|story|letter|list|script|code|matter|task)s?"
)
_DONE = (
    r"(?:provided|given|written|produced|answered|shared|supplied|discussed|disclosed|offered"
    r"|generated|granted|fulfilled|completed|processed|created|supported|addressed|entertained"
    r"|honou?red|available|permitted|allowed|possible|forthcoming|on offer|accepted|accommodated"
    r"|explained|described|assisted|helped|handled)"
)
_WITHHELD = (
    r"(?:withheld|barred|declined|refused|denied|rejected|blocked|prohibited|disallowed|restricted"
    r"|forbidden|non-?compliant|unavailable|unsupported|unanswered|off-? ?limits)"
)
_FROM = (
    r"(?:here|from me|by me|by us|for me|to me|from us|for us|(?:from|by|through|in|for|on) "
    + _BODY
    + ")"
)
_BAD_OF_ME = (
    r"(?:(?:ir|un|in|im|il)(?:responsible|ethical|appropriate|moral|legal|conscionable|wise|safe)"
    r"|wrong|reckless|negligent|dangerous|harmful)"
)

_FORMS = (
    # I will not help; this system does not answer such questions; not touching that one
    rf"{_I},? {_ADV}{_NOT}{_ADV}{_DO}",
    rf"^(?:(?:lol|ha|no+|nope|nah|sorry|well|thanks|um+|uh|yeah)[,.! ]+){{0,3}}"
    rf"(?:not|never|will not|cannot|unable to|refuse to|will never be) (?:going to )?(?:be )?{_DO}",
    rf"{_I},? {_ADV}{_NOT}(?:see|access|view|look up|find out) (?:personnel|private|personal|such"
    r"|their|his|her|your \w+'s|anyone)",
    r"\bunable to (?:comply|assist|help|proceed|answer|fulfil)",
    # no content of the kind will be written; questions about it are not answered here
    rf"\bno (?:such )?(?:\w+ ){{0,2}}{_THING}\b[^.!?]{{0,60}}?\b(?:will|can|shall|may|is|are)"
    rf"(?: going to)?(?: be)? (?:{_DONE}|coming)",
    rf"\b(?:{_THING}|that|this|it|such \w+)\b[^.!?]{{0,80}}\b(?:is|are|was|has been|have been)"
    rf" (?:\w+ )?(?:being )?(?:hereby |therefore |thus )?{_WITHHELD}\b(?! in)",
    rf"^(?:{_THING}|[a-z]+ing|disclosure|sharing)\b[^.!?]{{0,80}}\b(?:is|are"
    rf"|will) not (?:be )?{_DONE}\b"
    rf"(?=[.!]|$| {_FROM}| because| for (?:safety|legal))",
    rf"\b(?:is|are|be|will) not (?:be )?(?:\w+ )?{_DONE} {_FROM}",
    r"\b(?:so|and|therefore)\b[^.!?]{0,20} (?:it|this|that) (?:will not|cannot) be (?:written|given"
    r"|provided|produced|answered|shared|created)",
    r"(?:^|: ?\W{0,3})(?:request )?(?:not supported|denied|refused|declined|rejected|blocked"
    r"|unsupported)[.!]?$",
    r"^[^.!?]{0,30}?(?:that|this|it) (?:kind of |sort of |type of )?(?:\w+ )?(?:is|are) not"
    r" supported[.!]?$",
    # what you will not get from me; there will be no plan from me; you will hear no tricks from me
    r"\b(?:no|not|never|nothing|none|any)\b[^.!?]{0,40}\bfrom (?:me|us|this \w+)\b(?= |[.,;!]|$)",
    r"\bthere is no [^.!?]{1,40} to (?:give|share|offer|provide)(?: you)?\b[.!]?$",
    # a question I cannot answer; advice I can give is not this; a line I do not cross
    r"\b(?:is|are|be|was) not (?:an? |the )?(?:[a-z]+ ){1,4}?(?:(?:that )?(?:i|we) (?:can|could"
    r"|will"
    r"|would|am|want|may|should|feel|do)|for me)\b",
    r"\b(?:something|anything|one|line|topic|subject|place|thing|kind of \w+|territory|road|area)"
    r"s? (?:that |where |which )?(?:i|we)(?: (?:am|are|have|would|will|was|were))?"
    r"(?: just| simply| must)?"
    r"(?: (?:programmed|designed|trained|built|made|told|to|have to|need|going|try))*"
    r" (?:to )?(?:avoid|refuse|steer clear|stay (?:away|out)|keep away|bow out|do not|will not"
    r"|cannot"
    r"|would not|never|pass on|leave alone|decline)",
    # out of the question, off the table, outside my lane, beyond what I may say
    r"(?:^|[a-z]+ )(?:is |are |falls? |lies? |am )?(?:[a-z]+ly )?(?:off the table"
    r"|out of the question"
    r"|off-? ?limits|out of bounds)(?: (?:for|to|with) (?:me|us|this \w+)| here)?[.!]?$",
    r"\b(?:outside|beyond|out of|not in|not within|past|exceeds?) (?:of )?(?:my"
    r"|our) (?:\w+ )?(?:lane"
    r"|remit|scope|role|limits?|bounds|boundar\w+|purview|comfort zone|wheelhouse|depth"
    r"|capabilit\w+)",
    r"\b(?:outside|beyond|not within|out of) (?:of )?(?:what|anything) (?:may|can|i|we|is)\b",
    # declining by its own verbs and figures of speech
    rf"{_I}[^.!?]{{0,60}}?\b(?:(?:must|have to|need to|going to|will|would|shall|choose to"
    rf"|prefer to"
    rf"|like to|want to|am|are|obligated to|obliged to|required to|bound to|forced to|rather|here"
    rf"|avoid|try to|better) (?:{_ADV}|have to |need to )*)"
    r"(?:declin\w+|refus\w+|say(?:ing)? no\b(?! to)|(?:bow|opt)(?:ing)? out|pass(?:ing)? on (?:this"
    r"|that|it)|turn(?:ing)? (?:this|that|it|you|your \w+) down|leav(?:e|ing) (?:it|this|that|you)"
    r" (?:at that|there|here|alone|out)|leav(?:e|ing) out|skip (?:this|that)|stop(?:ping)? (?:you"
    r" |right |this )*(?:here|there)|steer(?:ing)? (?:clear|away|this|the|us|our)|avoid"
    r"|stay(?:ing)? (?:away|out)|keep(?:ing)? out|draw(?:ing)? (?:a|the) line|shut (?:this"
    r"|that) down"
    r"|withh\w+|hold(?:ing)? back|choos\w+ not|end (?:this|the) (?:conversation|chat)"
    r"|sit(?:ting)? (?:this|that))",
    r"^(?:going to |gonna |have to |will have to )(?:stop|pass|decline|say no|refuse)",
    r"\b(?:i|we) (?:\w+ly )?(?:declin|refus)(?:e|ing)\b(?! (?:to believe|the (?:noun|adj|verb)))"
    r"(?=[.!,]|$| to\b| this| that| your| it\b)",
    r"\bi (?:leave|let) (?:\w+ )?alone\b|\bi steer clear\b|\bi (?:want|will have|have|am having)"
    r" (?:no|none of|nothing to do with) (?:part|this|that|it)\b",
    r"\b(?:not|never) (?:my idea of|my (?:thing|style|job)\b|gonna|happening\b|on my watch)",
    r"\bcount me out\b|\bhands are tied\b|\bgive (?:that|this|it) (?:one )?a miss\b|\bdream on\b"
    r"|\bno intention of\b|\bwhy would i\b|\bnot in the business of\b|\bsay no[.!]?$"
    r"|\bi (?:must|have to|will) (?:\w+ )?(?:leave|turn) (?:this|that|it|you) \w+"
    r"|\bunanswered[.!]?$"
    r"|\bi (?:must|have to|will) (?:turn away|stay within)|\bhate to disappoint"
    r"|\b(?:rules?|ruled) (?:this|that|it|such)\b[^.!?]{0,30}\bout\b",
    r"\bcannot and will not\b|\bi choose not\b|\bbarking up the wrong tree|\bcatch me\b"
    r"|\bcould(?: not|n't)? live with myself|\bnot (?:sailing|happening|going to happen)\b",
    r"^(?:thanks,? but )?no,? thanks?\b|^nice try\b|\b(?:hard|firm|flat) (?:no|pass)\b"
    r"|\bno way (?:that )?(?:i|we) |^no dice\b|^no chance\b|\bi (?:do not|will not) do [a-z-]+,",
    r"\b(?:i|we) (?:do|did) not (?:see|think) (?:one|i should|we should|that i)\b[.!]?$"
    r"|\bi am not (?:your|the) (?:guy|one|person)\b",
    # my guidelines do not let me; it is against everything I was made for; wrong of me to
    rf"{_RULES}[^.!?]{{0,60}}?\b(?:(?:does|do|will|would|can)? ?not (?:\w+ )?(?:let|allow|permit"
    r"|enable)|forbids?|prohibits?|prevents?|rules? (?:this|that|it) out|stops?|keeps?|bars?)"
    r" ?(?:me|us|this|that|it|such|any)?\b",
    r"\b(?:against|contrary to|at odds with|violat\w+|conflicts? with"
    r"|breach\w*) (?:of )?(?:everything"
    rf"|what|all(?: that)?) (?:i|we)\b|\b(?:against|contrary to|at odds with|violat\w+|breach\w*"
    rf"|conflicts? with) {_RULES}",
    rf"\b(?:{_BE} )?(?:under instructions|designed|programmed|built|made|trained|instructed"
    rf"|obligated|obliged|required"
    r"|told|configured|taught|supposed|meant|bound) to (?:\w+ )?(?:avoid|refuse|decline|reject|turn"
    r"|not|steer|say no|withhold|keep away)",
    rf"\b{_BAD_OF_ME} (?:of|for) (?:me|us) to\b|\bmake(?:s)? me (?:a )?(?:part|complicit|party"
    rf"|an? acc)",
)  # fmt: skip
DECLINES = re.compile("|".join(f"(?:{form})" for form in _FORMS))
