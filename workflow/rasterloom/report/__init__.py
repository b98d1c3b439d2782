"""What a person looks at: findings, pictures and pages."""
