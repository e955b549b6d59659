"""
The constraints, on old rows as well.

An exclusion constraint cannot be added without its index being built meanwhile: writers of appointments wait for that.
"""

import django.contrib.postgres.constraints
import django.contrib.postgres.fields.ranges
from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("doctors", "0004_normal_emails"),
    ]

    operations = [
        ValidateConstraint(model_name="doctor", name="doctors_doctor_licence_begins_with_md"),
        migrations.AddConstraint(
            model_name="appointment",
            constraint=django.contrib.postgres.constraints.ExclusionConstraint(
                name="doctors_appointment_no_double_booking",
                expressions=[
                    (
                        models.Func(
                            models.F("doctor"),
                            models.F("doctor"),
                            models.Value("[]"),
                            function="int8range",
                            output_field=django.contrib.postgres.fields.ranges.BigIntegerRangeField(),
                        ),
                        "&&",
                    ),
                    (
                        models.Func(
                            models.F("start"),
                            models.F("end"),
                            function="tstzrange",
                            output_field=django.contrib.postgres.fields.ranges.DateTimeRangeField(),
                        ),
                        "&&",
                    ),
                ],
                condition=models.Q(("status__in", ("scheduled", "confirmed"))),
                violation_error_code="double_booking",
                violation_error_message="The doctor has another appointment at that time.",
            ),
        ),
    ]
