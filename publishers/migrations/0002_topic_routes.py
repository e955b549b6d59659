from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("publishers", "0001_leases")]
    operations = [
        migrations.CreateModel(
            name="TopicRoute",
            fields=[
                ("topic", models.TextField(primary_key=True, serialize=False)),
                ("target", models.TextField()),
                ("partitions", models.PositiveIntegerField(null=True)),
                ("draining_until", models.DateTimeField(null=True)),
                ("version", models.BigIntegerField()),
            ],
        ),
        migrations.AddField(
            model_name="relaymember", name="followed", field=models.BigIntegerField(db_default=0)
        ),
    ]
