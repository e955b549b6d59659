"""The audited domain: a hospital network's doctors, departments, specialties and appointments."""
