"""Addresses that were written before they were normalized; unique in any case already, so that none collides."""

from django.db import migrations
from django.db.models import F
from django.db.models.functions import Lower


def normalize(apps, schema_editor):
    """Keep every address in lower case, as it is looked for."""
    doctors = apps.get_model("doctors", "Doctor").objects.using(schema_editor.connection.alias)
    doctors.annotate(normal=Lower("email")).exclude(email=F("normal")).update(email=Lower("email"))


class Migration(migrations.Migration):

    dependencies = [
        ("doctors", "0003_rules_of_the_domain"),
    ]

    operations = [
        migrations.RunPython(normalize, migrations.RunPython.noop, elidable=True),
    ]
