"""The next version's expand step: a column that may be missing."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("doctors", "__newest__")]

    operations = [
        migrations.AddField(
            model_name="doctor", name="pager", field=models.CharField(blank=True, max_length=32, null=True)
        ),
    ]
