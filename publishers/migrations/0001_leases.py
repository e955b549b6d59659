from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="ShardLease",
            fields=[
                ("shard", models.PositiveSmallIntegerField(primary_key=True, serialize=False)),
                ("owner", models.TextField(null=True)),
                ("epoch", models.BigIntegerField(default=0)),
                ("until", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="RelayMember",
            fields=[
                ("owner", models.TextField(primary_key=True, serialize=False)),
                ("until", models.DateTimeField()),
            ],
        ),
        migrations.RunSQL(
            "INSERT INTO publishers_shardlease (shard, epoch) SELECT n, 0 FROM generate_series(0, 63) n",
            migrations.RunSQL.noop,
        ),
    ]
