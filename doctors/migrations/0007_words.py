"""
Words of doctors, to be searched.

Writers of doctors wait while the index is built. It is not built concurrently: that waits for everybody else's
snapshots, those of processes that wait for this migration included.
"""

import django.contrib.postgres.indexes
import django.contrib.postgres.search
import django.db.models.functions.text
from django.db import migrations, models


TAGS_TEXT = """
CREATE FUNCTION doctors_tags_text(tags text[]) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT pg_catalog.array_to_string(tags, ' ') $$
"""
DROP = "DROP FUNCTION doctors_tags_text(text[])"


class Migration(migrations.Migration):

    dependencies = [
        ('doctors', '0006_doctor_mail'),
    ]

    operations = [
        migrations.RunSQL(TAGS_TEXT, DROP),
        migrations.AddIndex(
            model_name='doctor',
            index=django.contrib.postgres.indexes.GinIndex(django.contrib.postgres.search.CombinedSearchVector(django.contrib.postgres.search.CombinedSearchVector(django.contrib.postgres.search.CombinedSearchVector(django.contrib.postgres.search.SearchVector('first_name', 'middle_name', 'last_name', 'npi', config='simple', weight='A'), '||', django.contrib.postgres.search.SearchVector(django.db.models.functions.text.Left(models.Func(models.F('search_tags'), function='doctors_tags_text', output_field=models.TextField()), 50000), config='simple', weight='B'), django.contrib.postgres.search.SearchConfig('simple')), '||', django.contrib.postgres.search.SearchVector('credential', 'medical_school', config='simple', weight='C'), django.contrib.postgres.search.SearchConfig('simple')), '||', django.contrib.postgres.search.SearchVector(django.db.models.functions.text.Left('bio', 50000), config='simple', weight='D'), django.contrib.postgres.search.SearchConfig('simple')), name='doctors_doctor_words'),
        ),
    ]
