select S.v, R.HIGH as high into o from i s timestamp by t join LIMITS r on s.ID = R.Id
