"""Who may see what of the audit log: grants, the permissions of scopes, and scopes of API keys."""

import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('auditlog', '0006_rollups'),
        ('auth', '0012_alter_user_first_name_max_length'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='AccessGrant',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('scopes', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('audit.read.own', 'audit.read.own'), ('audit.read', 'audit.read'), ('audit.read.sensitive', 'audit.read.sensitive'), ('audit.admin', 'audit.admin'), ('audit.export', 'audit.export')], max_length=40), blank=True, db_default=[], default=list, help_text="None: those that the holder's permissions give.", size=None)),
                ('model_names', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=200), blank=True, db_default=[], default=list, help_text='app_label.model, in lower case; none: all.', size=None, verbose_name='models')),
                ('labels', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=255, validators=[django.core.validators.RegexValidator('\\A[a-z][a-z0-9_]{0,49}:[^\\x00-\\x1f\\x7f]{1,200}\\Z', 'Write dimension:value, as department:3.')]), blank=True, db_default=[], default=list, help_text='dimension:value, as department:3; none: all. Events without a value of such a dimension are hidden.', size=None)),
                ('reason', models.CharField(max_length=1000)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'verbose_name': 'access grant',
                'permissions': [('read_own', 'Can see the audit events of their own acts'), ('read', 'Can see audit events, without values of restricted classes'), ('read_sensitive', 'Can see values of restricted classes in audit events'), ('admin', 'Can see what others asked the audit log'), ('export', 'Can export audit events')],
            },
        ),
        migrations.AddField(
            model_name='apikey',
            name='scopes',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('audit.read.own', 'audit.read.own'), ('audit.read', 'audit.read'), ('audit.read.sensitive', 'audit.read.sensitive'), ('audit.admin', 'audit.admin'), ('audit.export', 'audit.export')], max_length=40), blank=True, db_default=[], default=list, help_text='What the key may do of what its user may; none: everything.', size=None),
        ),
        migrations.AddConstraint(
            model_name='apikey',
            constraint=models.CheckConstraint(condition=models.Q(('scopes__contained_by', ['audit.read.own', 'audit.read', 'audit.read.sensitive', 'audit.admin', 'audit.export'])), name='auditlog_apikey_scopes'),
        ),
        migrations.AddField(
            model_name='accessgrant',
            name='api_key',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='audit_grants', to='auditlog.apikey'),
        ),
        migrations.AddField(
            model_name='accessgrant',
            name='group',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='audit_grants', to='auth.group'),
        ),
        migrations.AddField(
            model_name='accessgrant',
            name='user',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='audit_grants', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddConstraint(
            model_name='accessgrant',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('api_key__isnull', True), ('group__isnull', True), ('user__isnull', False)), models.Q(('api_key__isnull', True), ('group__isnull', False), ('user__isnull', True)), models.Q(('api_key__isnull', False), ('group__isnull', True), ('user__isnull', True)), _connector='OR'), name='auditlog_accessgrant_one_holder', violation_error_message='Name one holder: a user, a group or an API key.'),
        ),
        migrations.AddConstraint(
            model_name='accessgrant',
            constraint=models.CheckConstraint(condition=models.Q(('scopes__contained_by', ['audit.read.own', 'audit.read', 'audit.read.sensitive', 'audit.admin', 'audit.export'])), name='auditlog_accessgrant_scopes'),
        ),
    ]
