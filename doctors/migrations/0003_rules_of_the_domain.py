"""
Columns, and what is checked of new rows: old code goes on beside it.

The columns' types stay as they are. The licence constraint is not validated here, so that no lock is held while old rows
are read.
"""

import django.contrib.postgres.fields
from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models

import doctors.licence
import doctors.models.fields


class Migration(migrations.Migration):

    dependencies = [
        ("doctors", "0002_running_tasks"),
    ]

    operations = [
        migrations.AddField(
            model_name="appointment",
            name="cancellation_reason",
            field=models.CharField(blank=True, db_default="", default="", editable=False, max_length=500),
        ),
        migrations.AlterField(
            model_name="doctor",
            name="email",
            field=doctors.models.fields.NormalizedEmailField(blank=True, max_length=254, null=True, unique=True),
        ),
        migrations.AlterField(
            model_name="doctor",
            name="license_number",
            field=models.CharField(
                blank=True, max_length=50, null=True, unique=True, validators=[doctors.licence.validate_licence]
            ),
        ),
        migrations.AlterField(
            model_name="doctor",
            name="search_tags",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=100), blank=True, default=list, editable=False, size=None
            ),
        ),
        migrations.AlterField(
            model_name="doctor",
            name="slug",
            field=models.SlugField(blank=True, editable=False, max_length=220, unique=True),
        ),
        AddConstraintNotValid(
            model_name="doctor",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("license_number__isnull", True),
                    ("license_number", ""),
                    ("license_number__startswith", "MD"),
                    _connector="OR",
                ),
                name="doctors_doctor_licence_begins_with_md",
            ),
        ),
    ]
