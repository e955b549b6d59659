"""Models of many shapes, named after a library."""

from __future__ import annotations

import base64
import uuid
from typing import Any

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.contrib.postgres.fields import ArrayField, DateTimeRangeField
from django.db import models
from django.db.models import F
from django.db.models.functions import Now


class Shelf(models.Model):
    """The target of a nullable foreign key; says what it is called only when it has a name."""

    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        if self.name == "raise":
            raise RuntimeError(self.name)
        return f"shelf {self.name}"


class Genre(models.Model):
    """The target of a many-to-many field; without a text of its own."""

    name = models.CharField(max_length=50, unique=True)


class Reader(models.Model):
    """The target of a many-to-many field with an explicit through model, found by another field than its key."""

    card = models.CharField(max_length=20, unique=True)
    friends = models.ManyToManyField("self")

    def __str__(self) -> str:
        return f"reader {self.card}"


class Book(models.Model):
    """A bit of everything."""

    shelf = models.ForeignKey(Shelf, null=True, on_delete=models.SET_NULL, related_name="books")
    title = models.CharField(max_length=200)
    quantity = models.IntegerField(default=0)
    price = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    cover = models.FileField(upload_to="covers", blank=True)
    note = models.JSONField(null=True)
    secret = models.CharField(max_length=50, null=True)
    code = models.CharField(max_length=50, null=True)
    draft = models.TextField(blank=True)
    genres = models.ManyToManyField(Genre, related_name="books")
    readers = models.ManyToManyField(Reader, through="Loan", related_name="books")
    double = models.GeneratedField(expression=F("quantity") * 2, output_field=models.IntegerField(), db_persist=True)
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.title


class Loan(models.Model):
    """The links between books and readers."""

    book = models.ForeignKey(Book, on_delete=models.CASCADE)
    reader = models.ForeignKey(Reader, on_delete=models.CASCADE, to_field="card")
    since = models.DateField(null=True)


class Comic(Book):
    """A table of its own beside its parent's."""

    colour = models.BooleanField(default=False)


class BookProxy(Book):
    """The same table under another name."""

    class Meta:
        proxy = True


class Chapter(models.Model):
    """Registered by no one; goes with its book."""

    book = models.ForeignKey(Book, on_delete=models.CASCADE)


class OrderLine(models.Model):
    """A composite primary key."""

    pk = models.CompositePrimaryKey("tenant", "number")
    tenant = models.CharField(max_length=20)
    number = models.IntegerField()
    amount = models.IntegerField(default=0)


class Ticket(models.Model):
    """A key that is known before the INSERT, and a child that goes with its parent."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    parent = models.ForeignKey("self", null=True, on_delete=models.CASCADE, related_name="children")
    title = models.CharField(max_length=50, default="")

    def __str__(self) -> str:
        return f"ticket {self.title}"


class Country(models.Model):
    """A key that people type."""

    code = models.CharField(max_length=8, primary_key=True)
    name = models.CharField(max_length=50)


class Awkward(models.Model):
    """Names that SQL around the write could trip over."""

    old = models.IntegerField(default=0, db_column="old")
    new = models.IntegerField(default=0, db_column="new")
    when = models.IntegerField(default=0, db_column="when")
    row = models.IntegerField(default=0, db_column="auditlog_row")

    class Meta:
        db_table = "old"


class SealedField(models.TextField[Any, Any]):
    """Holds something else in the database than in Python, as encrypted fields do."""

    def from_db_value(self, value: str | None, *_args: Any) -> str | None:
        """Return what was sealed."""
        return value and base64.b64decode(value).decode()

    def get_prep_value(self, value: str | None) -> str | None:
        """Return what the database holds."""
        return value and base64.b64encode(value.encode()).decode()


class Measured(models.Model):
    """Types whose text depends on the session, or that JSON cannot hold as they are."""

    amount = models.DecimalField(max_digits=30, decimal_places=10, null=True)
    ratio = models.FloatField(null=True)
    lasts = models.DurationField(null=True)
    at = models.DateTimeField(null=True)
    day = models.DateField(null=True)
    blob = models.BinaryField(null=True)
    amounts = ArrayField(models.DecimalField(max_digits=12, decimal_places=3), null=True)
    extra = models.JSONField(null=True)
    address = models.GenericIPAddressField(null=True)
    token = models.UUIDField(null=True)
    span = DateTimeRangeField(null=True)
    sealed = SealedField(null=True)


class Guarded(models.Model):
    """Set-based writes are forbidden."""

    value = models.IntegerField(default=0)


class Unwatched(models.Model):
    """Not registered."""

    value = models.IntegerField(default=0)


class Remark(models.Model):
    """Points at an object of any model."""

    # Tables without migrations are made before those of Django's own applications.
    content_type = models.ForeignKey(ContentType, db_constraint=False, on_delete=models.CASCADE)
    object_id = models.PositiveBigIntegerField()
    about = GenericForeignKey("content_type", "object_id")
    text = models.CharField(max_length=50, default="")


class Pamphlet(models.Model):
    """Finds the remarks about it, and takes them along when it goes."""

    title = models.CharField(max_length=50)
    remarks = GenericRelation(Remark)


def elsewhere() -> Country:
    """Return the country that stands for one that is gone."""
    return Country.objects.get_or_create(code="??", defaults={"name": "elsewhere"})[0]


class Edition(models.Model):
    """References that get another value when their target goes."""

    printed_in = models.ForeignKey(Country, default="XX", on_delete=models.SET_DEFAULT, related_name="printed")
    sold_in = models.ForeignKey(Country, on_delete=models.SET(elsewhere), related_name="sold")


class IndexCard(models.Model):
    """Its key is the book's."""

    book = models.OneToOneField(Book, primary_key=True, on_delete=models.CASCADE)
    drawer = models.CharField(max_length=20, default="")


class Stamp(models.Model):
    """Points at what has a reference as its key."""

    card = models.ForeignKey(IndexCard, on_delete=models.CASCADE)


class Author(models.Model):
    """A relation to the same model that has a direction and fields of its own."""

    name = models.CharField(max_length=50)
    mentors = models.ManyToManyField(
        "self", through="Mentorship", through_fields=("pupil", "mentor"), symmetrical=False, related_name="pupils"
    )


class Mentorship(models.Model):
    """A third reference to the model makes the ends a matter of `through_fields`."""

    arranged_by = models.ForeignKey(Author, null=True, on_delete=models.SET_NULL, related_name="arranged")
    mentor = models.ForeignKey(Author, on_delete=models.CASCADE, related_name="mentorships")
    pupil = models.ForeignKey(Author, on_delete=models.CASCADE, related_name="pupilages")
    weeks = models.IntegerField(default=0)


class TextJSONField(models.JSONField):
    """Keeps the text of a JSON value, escapes that stand for no character included."""

    def db_type(self, connection: Any) -> str:
        """Return PostgreSQL's `json`."""
        return "json"


class Manuscript(models.Model):
    """Values of any size."""

    body = models.TextField(default="")
    scan = models.BinaryField(null=True)
    margin = models.JSONField(null=True)
    source = TextJSONField(null=True)
    secret = models.TextField(null=True)
    code = models.TextField(null=True)
    copyists = models.ManyToManyField(Author, through="Copy", related_name="manuscripts")


class Copy(models.Model):
    """Links with a large field of their own, two of the same ends if need be."""

    manuscript = models.ForeignKey(Manuscript, on_delete=models.CASCADE)
    copyist = models.ForeignKey(Author, on_delete=models.CASCADE)
    remark = models.TextField(default="")


class Form(models.Model):
    """Many columns, none of which is large; see below."""


for number in range(30):
    models.TextField(default="").contribute_to_class(Form, f"answer_{number}")


class Receipt(models.Model):
    """Values that the database puts in."""

    number = models.IntegerField(db_default=7)
    issued_at = models.DateTimeField(db_default=Now())
    note = models.CharField(max_length=20, db_default="paid")


class Club(models.Model):
    """Its links have a composite key."""

    name = models.CharField(max_length=50)
    members = models.ManyToManyField(Reader, through="ClubMembership", related_name="clubs")


class ClubMembership(models.Model):
    """Found by its two ends, and by nothing else."""

    pk = models.CompositePrimaryKey("club_id", "reader_id")
    club = models.ForeignKey(Club, on_delete=models.CASCADE)
    reader = models.ForeignKey(Reader, on_delete=models.CASCADE)
    role = models.CharField(max_length=20, default="member")
