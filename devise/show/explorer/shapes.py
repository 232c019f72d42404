"""What the explorer answers, as its OpenAPI page has it; values are made elsewhere."""

from pydantic import BaseModel, Field


class Label(BaseModel):
    """A label of an image."""

    label: str
    score: float = Field(description="cosine of the image's embedding and the word's vector")
    probability: float | None = Field(description="that the label is true; null where the model is not calibrated")


class Labels(BaseModel):
    """The labels of an image, best first, and the most specific noun that is sure enough."""

    labels: list[Label]
    answer: str | None
    answer_probability: float | None


class Named(BaseModel):
    """An image of the corpus."""

    image_id: str = Field(description="64 bits in digits, which are no number of JavaScript's")
    uri: str
    name: str = Field(description="the last part of the uri")


class Hit(Named, Labels):
    """An image that answers."""

    rank: int
    score: float
    alt: str = Field(description="the picture in words")
    folded: int = Field(description="near-duplicates of it that are folded behind it")


class Term(BaseModel):
    """A word or picture of a query, and how much of it is wanted."""

    text: str
    weight: float
    picture: bool


class Share(Term):
    """What a term adds to an image's score."""

    cosine: float = Field(description="of the term's vector and the image's embedding")
    share: float = Field(description="shares of all terms add up to the score")


class Why(Labels):
    """Why an image answers a query."""

    image_id: str
    score: float
    terms: list[Share]


class Chip(BaseModel):
    """A label that answers share."""

    label: str
    count: int = Field(description="of the first hundred answers")


class Scores(BaseModel):
    """Of all answers before they were cut at a least score."""

    most: float
    least: float


class Answers(BaseModel):
    """A page of ranked answers, and what they rest on."""

    publication: int
    run: str
    query: str
    kind: str = Field(description="word, words, differences or image")
    exact: bool = Field(description="no image that should be among the answers can be missing")
    recall: float | None = Field(description="recall@10 of the kind, as measured when the index was built")
    nprobe: int | None
    total: int = Field(description="answers that were ranked: at most 200 to a word, else 1,000")
    offset: int
    limit: int
    fits: bool = Field(description="false where labels say that nothing shows what was asked")
    told: str | None = Field(description="a sentence where nothing fits, or a word is met by none")
    terms: list[Term]
    chips: list[Chip]
    scores: Scores | None
    hits: list[Hit]


class Example(BaseModel):
    """A label to begin with, and an image that has it."""

    label: str
    image_id: str


class Live(BaseModel):
    """What is published."""

    publication: int
    run: str
    published_at: str | None
    images: int
    labels: int
    model_id: str
    dim: int
    thumbnails: bool = Field(description="thumbnails were made with the embeddings; else they are made when asked for")
    night: bool = Field(description="the night has a page, at /night")
    lacks: dict[str, str] = Field(
        description="parameters of a search that this publication cannot answer (of label, since, fold), and why"
    )
    links: bool = Field(description="links to originals are given")
    uploads: bool
    folders: list[str]
    examples: list[Example]


class Word(BaseModel):
    """A label that a text may become."""

    label: str
    synset: str | None
    seen: bool
    said: str | None = Field(description="the synonym that the text begins")


class Words(BaseModel):
    """Completions of a text."""

    words: list[Word]


class Image(Named, Labels):
    """A stored image."""

    width: int | None = None
    height: int | None = None
    size_bytes: int | None
    modified_at: str | None
    duplicates: list[Named]


class Seen(Labels):
    """A picture that was given, as the live model sees it."""

    term: str = Field(description="what to put into a query for it")
    width: int
    height: int


class Link(BaseModel):
    """A link to an original, for a while."""

    url: str
    expires_s: int
